"""The seam between `run` and the emulators: what is asked for, how it is started, what came out.

An engine only turns a request into a command line (`prepare`) and says what the end of
that command means (`end`). Starting, watching and ending it is efi_image.emulator.runner's.
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

TAIL_LINES = 30


class Machine(Enum):
    """The kind of PC, by its chipset: `--machine`."""

    Q35 = "q35"
    PC = "pc"  # i440FX


class Medium(Enum):
    """What the image is in the machine: `--medium`."""

    DISK = "disk"
    OPTICAL = "optical"
    USB = "usb"

    @property
    def sector(self) -> int:
        """An image is a whole number of so many bytes."""
        return 2048 if self is Medium.OPTICAL else 512


class ExitReason(Enum):
    """How a run came to its end."""

    POWER_OFF = "the machine powered off"
    EXPECTED = "everything expected was seen"
    GUEST_CODE = "the guest ended the run with a code"
    TIMEOUT = "the time limit passed"


@dataclass(frozen=True)
class Debug:
    """What helps to find faults; nothing of it changes what a guest may rely on."""

    deterministic: bool = False  # one CPU: the same instructions at the same ticks in every run
    keep_work: bool = False  # leave the work directory behind
    extra: tuple[str, ...] = ()  # QEMU: arguments; Bochs: lines of the bochsrc
    gdb: str = ""  # HOST:PORT of the GDB server; '' for none
    stopped: bool = False  # a debugger starts the CPUs


@dataclass(frozen=True)
class RunRequest:
    """A boot of an image. `timeout` in seconds, 0 for none; `memory` in MiB.

    The run ends when the machine powers off, or as soon as every expression of `expect` was
    seen, unless `until_power_off`. `log` gets the readable text, `log`.raw the bytes, and
    `log`.emulator the emulator's own log.
    """

    image: Path
    cpus: int = 1
    memory: int = 512
    cpu_model: str = ""  # the engine's default; MODEL[,+FEATURE][,-FEATURE]
    machine: Machine | None = None  # the engine's default
    medium: Medium = Medium.DISK
    timeout: float = 0
    expect: tuple[str, ...] = ()
    until_power_off: bool = False
    log: Path | None = None
    firmware: Path | None = None  # one file with code and variables, instead of the engine's
    debug: Debug = field(default_factory=Debug)

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise UsageError(f"at least 1 CPU is needed, not {self.cpus}")
        if self.memory < 64:
            raise UsageError(f"at least 64 MiB of memory are needed, not {self.memory}")
        if not self.timeout >= 0:  # nor is NaN
            raise UsageError(f"a time limit is 0 or more seconds, not {self.timeout:g}")
        for expression in self.expect:
            try:
                re.compile(expression)
            except re.error as error:
                raise UsageError(f"not a regular expression: {expression!r} ({error})") from None

    def check_files(self) -> None:
        """InputError unless the files that the run reads are there."""
        for path, sector in ((self.image, self.medium.sector), (self.firmware, 512)):
            if path is None:
                continue
            try:
                with path.open("rb") as file:
                    size = file.seek(0, 2)
            except OSError as error:
                raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from None
            if size == 0 or size % sector:
                raise InputError(f"is not a whole number of {sector}-byte sectors", where=str(path))


@dataclass(frozen=True)
class Launch:
    """A command line and where its output goes; relative names are in `work`."""

    command: tuple[str, ...]
    work: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    serial: str = "serial"
    log: str = "emulator.log"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def line(self) -> str:
        """The command line for copy and paste into a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        words = " ".join([*variables, shlex.join(self.command)])
        return f"cd {shlex.quote(str(self.work))} && {words}"


@dataclass(frozen=True)
class End:
    """What the end of an emulator means: a reason, or None when it failed."""

    reason: ExitReason | None
    guest_code: int | None = None


class Engine(Protocol):
    """An emulator, ready to run."""

    @property
    def name(self) -> str:
        """As in `--engine`."""
        ...

    @property
    def description(self) -> str:
        """One line for people: the emulator, how it runs, and what it lacks."""
        ...

    @property
    def default_model(self) -> str:
        """The CPU model of a request that names none."""
        ...

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        """Put what the emulator needs into the folder `work`, and make its command line."""
        ...

    def end(self, status: int, log: str) -> End:
        """What an exit status and the emulator's log mean."""
        ...

    def problems(self, log: str) -> tuple[str, ...]:
        """The lines of the emulator's log that explain a failed boot."""
        ...


@dataclass(frozen=True)
class BootResult:
    """What a run showed."""

    request: RunRequest
    engine: str
    reason: ExitReason
    missing: tuple[str, ...]  # expressions of the request that were not seen
    serial: str  # the readable text
    emulator_log: str
    problems: tuple[str, ...]
    command: str
    seconds: float
    guest_code: int | None = None

    @property
    def seen(self) -> bool:
        """Whether all the expected text was seen."""
        return not self.missing

    def require(self) -> BootResult:
        """Itself if the run ended well; TimedOut or ExpectationFailed with the log's tail."""
        details = failure_details(
            self.serial, self.emulator_log, self.problems, self.command,
            kept=self.request.debug.keep_work,
        )  # fmt: skip
        unseen = ", ".join(repr(expression) for expression in self.missing)
        if self.reason is ExitReason.TIMEOUT:
            what = f"not seen: {unseen}" if unseen else "the machine did not power off"
            raise TimedOut(
                f"{what} within {self.request.timeout:g} s ({self.engine})", details=details
            )
        if self.missing:
            raise ExpectationFailed(
                f"{self.reason.value} ({self.engine}), but not seen: {unseen}", details=details
            )
        return self


def failure_details(
    serial: str, emulator_log: str, problems: tuple[str, ...], command: str, *, kept: bool
) -> tuple[str, ...]:
    """What people need when a boot failed, as lines. `kept`: the command has its folder still."""
    lines = [f"  {line}" for line in serial.splitlines()[-TAIL_LINES:]]
    details = ["the serial port's last lines:", *lines] if lines else ["nothing on the serial port"]
    if problems:
        details += ["from the emulator's log:", *(f"  {line}" for line in problems)]
    elif not lines:
        tail = emulator_log.splitlines()[-TAIL_LINES:]
        details += ["the emulator's last lines:", *(f"  {line}" for line in tail)]
    folder = "" if kept else " (--keep-work leaves its folder behind)"
    return (*details, f"the command line was{folder}:", f"  {command}")


def guard() -> tuple[str, ...]:
    """A prefix that ends a command when this process ends, however that comes about."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def runs(command: tuple[str, ...]) -> bool:
    """Whether a command succeeds here."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
