"""The seam between `run` and the emulators: the request, the command line, the result.

An emulator only turns a request into a command line (`prepare`) and tells what the end of that
command means (`end`). efi_image.emulator.runner starts, watches and ends the command.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from efi_image.errors import ExpectationFailed, InputError, TimedOut, UsageError
from efi_image.formats.detect import HEAD, is_raw

TAIL_LINES = 30
TRACE_PORT = 0xE9  # the only one that Bochs has
LOG_ENDINGS = ("raw", "emulator")  # files beside the log


class Machine(Enum):
    """The kind of PC, by its chipset: `--machine`."""

    Q35 = "q35"
    PC = "pc"  # i440FX


class Medium(Enum):
    """The kind of drive that has the image: `--medium`."""

    DISK = "disk"
    OPTICAL = "optical"
    USB = "usb"

    @property
    def sector(self) -> int:
        """Bytes of a sector; an image is a whole number of them."""
        return 2048 if self is Medium.OPTICAL else 512


class ExitReason(Enum):
    """How a run ended."""

    POWER_OFF = "the machine powered off"
    EXPECTED = "everything expected was seen"
    GUEST_CODE = "the guest ended with debug-exit code"  # QEMU
    SHUTDOWN_PORT = "the guest ended by the shutdown port"  # Bochs
    TIMEOUT = "the time limit passed"


@dataclass(frozen=True, slots=True)
class Debug:
    """Options for finding faults; a guest need not notice them."""

    deterministic: bool = False  # with one CPU: every run is the same
    keep_work: bool = False  # keep the work directory
    extra: tuple[str, ...] = ()  # QEMU: arguments; Bochs: lines of the bochsrc
    gdb: str = ""  # HOST:PORT of the GDB server; '' for none
    stopped: bool = False  # a debugger starts the CPUs
    trace: Path | None = None  # gets the bytes of the debug port at TRACE_PORT


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A boot of an image. `timeout` is in seconds (0: none), `memory` in MiB.

    The run ends when the machine powers off, or as soon as every expression of `expect` was
    seen, unless `until_power_off`. `log` gets the serial port's readable text, `log`.raw its
    bytes, and `log`.emulator the emulator's own log. Raises UsageError for values out of range.
    """

    image: Path
    cpus: int = 1
    memory: int = 512
    cpu_model: str = ""  # MODEL[,+FEATURE][,-FEATURE]; '': the emulator's default
    machine: Machine | None = None  # None: the emulator's default
    medium: Medium = Medium.DISK
    timeout: float = 0
    expect: tuple[str, ...] = ()
    until_power_off: bool = False
    log: Path | None = None
    firmware: Path | None = None  # see firmware.read_firmware(); None: the emulator's own
    debug: Debug = field(default_factory=Debug)

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise UsageError(f"must be at least 1, not {self.cpus}", where="--cpus")
        if self.memory < 64:
            raise UsageError(f"must be at least 64 MiB, not {self.memory}", where="--memory")
        if not self.timeout >= 0:  # nor is NaN
            raise UsageError(f"must be 0 or more seconds, not {self.timeout:g}", where="--timeout")
        for expression in self.expect:
            try:
                re.compile(expression)
            except re.error as error:
                raise UsageError(
                    f"is not a regular expression: {expression!r} ({error})", where="--expect"
                ) from None

    def check_files(self) -> None:
        """Raise InputError unless the files that the run reads are usable."""
        self._check_log()
        is_descriptor = self.firmware is not None and self.firmware.suffix == ".json"
        firmware_unit = 1 if is_descriptor else 512
        for path, sector in ((self.image, self.medium.sector), (self.firmware, firmware_unit)):
            if path is None:
                continue
            try:
                with path.open("rb") as file:
                    raw = is_raw(file.read(HEAD))
                    size = file.seek(0, 2)
            except OSError as error:
                raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from None
            if size == 0 or (raw and size % sector):
                raise InputError(f"is not a whole number of {sector}-byte sectors", where=str(path))

    def _check_log(self) -> None:
        """Raise UsageError if a log file is also an input."""
        if self.log is None:
            return
        logs = [self.log, *(Path(f"{self.log}.{end}") for end in LOG_ENDINGS)]
        for log in filter(Path.exists, logs):
            for path in filter(None, (self.image, self.firmware)):
                if path.exists() and log.samefile(path):
                    raise UsageError(f"is also an input ({path})", where=str(log))


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line and the files of its output; relative names are in `work`."""

    command: tuple[str, ...]
    work: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    serial: str = "serial"
    log: str = "emulator.log"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def line(self) -> str:
        """The command line, to paste into a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        words = " ".join([*variables, shlex.join(self.command)])
        return f"cd {shlex.quote(str(self.work))} && {words}"


@dataclass(frozen=True, slots=True)
class End:
    """What the end of an emulator means; `reason` is None if it failed."""

    reason: ExitReason | None
    guest_code: int | None = None


class Emulator(Protocol):
    """An emulator that works on this machine: QEMU, Bochs, or the tests' fake."""

    @property
    def name(self) -> str:
        """As in `--emulator`."""

    @property
    def description(self) -> str:
        """One line for people: the emulator, and what it gives guests."""

    @property
    def default_model(self) -> str:
        """The CPU model for a request that names none."""

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        """Put the files that it needs into the folder `work`, and make the command line.

        Raises UsageError, InputError, MissingError, EmulatorFailed.
        """

    def end(self, status: int, log: str) -> End:
        """What this exit status and log mean."""

    def problems(self, log: str) -> tuple[str, ...]:
        """The lines of the log that explain a failed boot."""


@dataclass(frozen=True, slots=True)
class BootResult:
    """The result of a run; `emulator` is its name, `seconds` its duration."""

    request: RunRequest
    emulator: str
    reason: ExitReason
    missing: tuple[str, ...]  # expressions of the request that were not seen
    serial: str  # the serial port's readable text
    emulator_log: str
    problems: tuple[str, ...]
    command: str
    seconds: float
    guest_code: int | None = None

    @property
    def ending(self) -> str:
        """How the run ended, in words."""
        code = f" {self.guest_code}" if self.guest_code is not None else ""
        return f"{self.reason.value}{code}"

    @property
    def seen(self) -> bool:
        """Whether all expected text was seen."""
        return not self.missing

    def require(self) -> BootResult:
        """The result itself; raises TimedOut or ExpectationFailed with the log's tail."""
        details = failure_details(
            self.serial, self.problems, self.command,
            log="" if self.serial else self.emulator_log, kept=self.request.debug.keep_work,
        )  # fmt: skip
        unseen = ", ".join(repr(expression) for expression in self.missing)
        if self.reason is ExitReason.TIMEOUT:
            what = f"not seen: {unseen}" if unseen else "the machine did not power off"
            raise TimedOut(
                f"{what} within {self.request.timeout:g} s ({self.emulator})", details=details
            )
        if self.missing:
            raise ExpectationFailed(
                f"{self.ending} ({self.emulator}), but not seen: {unseen}", details=details
            )
        return self


def failure_details(
    serial: str, problems: tuple[str, ...], command: str, *, log: str, kept: bool
) -> tuple[str, ...]:
    """What people need after a failed boot, as lines: the tail of the serial port and of `log`,
    the problems, and the command line (`kept`: its folder is still there)."""
    details = []
    log = "" if log.splitlines() == list(problems) else log
    for title, lines in (
        ("the serial port's last lines:", serial.splitlines()[-TAIL_LINES:]),
        ("from the emulator's log:", problems),
        ("the emulator's last lines:", log.splitlines()[-TAIL_LINES:]),
    ):
        details += [title, *(f"  {line}" for line in lines)] if lines else []
    if not serial:
        details.insert(0, "nothing on the serial port")
    folder = "" if kept else " (--keep-work keeps its folder)"
    return (*details, f"the command line was{folder}:", f"  {command}")


def guard() -> tuple[str, ...]:
    """A prefix that kills a command when this process ends, even by SIGKILL."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def runs(command: tuple[str, ...]) -> bool:
    """Whether a command succeeds on this machine."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
