"""The seam between `run` and the emulators: the request, the command line, the result.

An emulator only turns a request into a command line (`prepare`) and tells what the end of that
command means (`end`). efi_image.emulator.runner starts, watches and ends the command.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from efi_image.emulator.request import RunRequest
from efi_image.emulator.verdict import SILENT_SYSTEM, is_silent
from efi_image.errors import ExpectationFailed, GuestFailed, TimedOut
from efi_image.progress import Progress

TAIL_LINES = 30


class ExitReason(Enum):
    """How a run ended."""

    POWER_OFF = "the machine powered off"
    EXPECTED = "all expected text was seen"
    GUEST_CODE = "the guest ended with debug-exit code"  # QEMU
    SHUTDOWN_PORT = "the guest ended through the shutdown port"  # Bochs
    TIMEOUT = "the time limit passed"
    GUEST_FAILED = "the guest failed"
    QUIT = "you ended the run"


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
    """What the end of an emulator means; `reason` is None if it failed, `how` how."""

    reason: ExitReason | None
    guest_code: int | None = None
    how: str = ""


class Console(Protocol):
    """Input for the serial port: a person's keyboard, or a pipe."""

    def fileno(self) -> int:
        """The descriptor that is readable when there is input; -1 as long as it is not open."""

    def read(self) -> bytes | None:
        """The next bytes, b"" when no more will come, None to end the run."""


class Viewer:
    """Watches a run. This one shows nothing; others override its methods."""

    console: Console | None = None  # for a request with `console`
    shows_text = False  # so that a failure need not show the last lines again

    def unpacking(self) -> Progress | None:
        """Receives the progress of unpacking the image, and of copying the shared folder."""

    def show(self, data: bytes, text: str) -> None:
        """The next bytes of the serial port, and the readable text that they complete."""

    def tick(self, stage: str, seconds: float) -> None:
        """Called several times a second with the boot's stage and its duration."""


@dataclass
class TextViewer(Viewer):
    """Calls a function with the readable text as it comes."""

    take: Callable[[str], object]

    def show(self, data: bytes, text: str) -> None:
        if text:
            self.take(text)


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

    def check(self, request: RunRequest) -> None:
        """Raise UsageError, InputError or MissingError if it cannot run that, before anything
        starts."""

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        """Put the files that it needs into the folder `work`, and make the command line.

        The request has passed `check`. Raises InputError, MissingError, EmulatorFailed.
        """

    def end(self, status: int, log: str) -> End:
        """What this exit status and log mean."""

    def problems(self, log: str) -> tuple[str, ...]:
        """The lines of the log that explain a failed boot."""

    def unusual(self, log: str) -> tuple[str, ...]:
        """The lines of the log, without those of every run."""


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
    failure: str = ""  # why the guest failed, for ExitReason.GUEST_FAILED
    stages: Mapping[str, float] = field(default_factory=dict)  # name → seconds at which it began
    shown: bool = False  # the viewer has shown the serial port's text

    @property
    def ending(self) -> str:
        """How the run ended, in words."""
        code = f" {self.guest_code}" if self.guest_code is not None else ""
        failure = f": {self.failure}" if self.failure else ""
        return f"{self.reason.value}{code}{failure}"

    @property
    def advice(self) -> str:
        """Why the guest was silent, if that is likely; else ''."""
        return SILENT_SYSTEM if is_silent(self.serial) else ""

    @property
    def seen(self) -> bool:
        """Whether all expected text was seen."""
        return not self.missing

    def require(self) -> BootResult:
        """The result itself; raises TimedOut, GuestFailed or ExpectationFailed with the log's
        tail."""
        details = failure_details(
            command=self.command if self.request.debug.keep_work else "",
            kept=True,
            serial="" if self.shown else self.serial,
            log=() if self.serial else tuple(self.emulator_log.splitlines()),
            problems=self.problems,
        )
        if not self.serial:
            details = (*details, "nothing on the serial port")
        unseen = ", ".join(repr(expression) for expression in self.missing)
        if self.reason is ExitReason.TIMEOUT:
            what = f"not seen: {unseen}" if unseen else "the machine did not power off"
            raise TimedOut(
                f"{what} within {self.request.timeout:g} s ({self.emulator})",
                hint=self.advice or "--timeout 0 sets no limit",
                details=details,
            )
        if self.reason is ExitReason.GUEST_FAILED:
            raise GuestFailed(
                f"{self.ending} ({self.emulator})",
                hint="--no-verdicts continues after a failure",
                details=details,
            )
        if self.missing:
            raise ExpectationFailed(
                f"{self.ending} ({self.emulator}), but not seen: {unseen}",
                hint=self.advice,
                details=details,
            )
        return self


def failure_details(
    *, command: str, kept: bool, serial: str, log: tuple[str, ...], problems: tuple[str, ...]
) -> tuple[str, ...]:
    """Lines about a failed boot, the most useful last: the command line (`kept`: its folder still
    exists), the tails of the serial port and of `log`, the problems. Empty parts are omitted."""
    details = []
    folder = "" if kept else " (--keep-work keeps its directory)"
    for title, lines in (
        (f"the command line was{folder}:", (command,) if command else ()),
        ("the serial port's last lines:", serial.splitlines()[-TAIL_LINES:]),
        ("the emulator's last lines:", () if log == problems else log[-TAIL_LINES:]),
        ("from the emulator's log:", problems),
    ):
        details += [title, *(f"  {line}" for line in lines)] if lines else []
    return tuple(details)


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
