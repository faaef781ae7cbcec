"""Runs an emulator: starts it, follows the serial port, keeps the logs, and always ends it."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from contextlib import closing, nullcontext
from pathlib import Path

from efi_image.emulator.base import (
    BootResult,
    Emulator,
    End,
    ExitReason,
    Launch,
    Viewer,
    failure_details,
)
from efi_image.emulator.inputs import usable, work_directory
from efi_image.emulator.logs import Logs
from efi_image.emulator.process import OUTPUT, started, wait
from efi_image.emulator.request import RunRequest
from efi_image.emulator.screen import Screen
from efi_image.emulator.serial import SerialText
from efi_image.emulator.serial_line import SerialLine
from efi_image.emulator.verdict import Watcher
from efi_image.errors import EmulatorFailed

_POLL = 0.05  # seconds
_OVERLAP = 4096  # characters before new text in which a match may begin


def run(request: RunRequest, emulator: Emulator, viewer: Viewer | None = None) -> BootResult:
    """Boot `request.image`; `viewer` sees the serial port's bytes and text as they come.

    A power-off, the expected text, a guest that failed and the time limit are results. Raises
    EmulatorFailed if the emulator did not start, failed, or was killed, UsageError if it cannot
    run that, EmulatorMissing, InputError, OutputError, and whatever `viewer` raises.
    """
    request.check_files()
    emulator.check(request)
    with work_directory(request) as work, Logs(request.log) as logs:
        viewer = viewer or Viewer()
        launch = emulator.prepare(usable(request, work, viewer.unpacking()), work)
        began = time.monotonic()
        watch = _Watch(request, launch, logs, viewer)
        try:
            with watch.line, watch.screen, started(launch) as process:
                reason, status = watch.until_end(process)
        except BaseException:
            watch.viewer = Viewer()  # it may have failed itself
            raise
        finally:
            watch.drain(final=True)
            log = _read(work / launch.log)
            logs.write_emulator(log, _read(work / OUTPUT))
        end = End(reason) if reason else emulator.end(status, log)
        if end.reason is None:
            how = end.how or _how(status)
            serial = "" if viewer.shows_text else watch.text
            raise _failure(emulator, launch, request, how, serial, log)
        return BootResult(
            request=request,
            emulator=emulator.name,
            reason=end.reason,
            missing=tuple(watch.missing),
            serial=watch.text,
            emulator_log=log,
            problems=(*emulator.problems(log), *watch.problems),
            command=launch.line,
            seconds=time.monotonic() - began,
            guest_code=end.guest_code,
            failure=watch.failure,
            stages=watch.watcher.stages,
            shown=viewer.shows_text,
        )


def _how(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


def _failure(
    emulator: Emulator, launch: Launch, request: RunRequest, how: str, serial: str, log: str
) -> EmulatorFailed:
    output = _read(launch.work / OUTPUT)
    text = log if log == output else log + output
    unusual = emulator.unusual(text)
    if how.endswith(signal.SIGKILL.name):
        hint = "`dmesg` says whether memory ran out; --memory gives the guest less"
    elif unusual:
        hint = "its last lines are above; --log FILE keeps them all"
    else:
        hint = "--keep-work keeps its directory, so that you can run the command line above again"
    return EmulatorFailed(
        f"the emulator failed: {emulator.name} {how}",
        hint=hint,
        details=failure_details(
            command=launch.line,
            kept=request.debug.keep_work,
            serial=serial,
            log=unusual,
            problems=emulator.problems(text),
        ),
    )


class _Watch:
    """Follows the serial port: text, logs, and the expected text that is still missing."""

    def __init__(self, request: RunRequest, launch: Launch, logs: Logs, viewer: Viewer) -> None:
        self.text = ""
        self.missing = list(request.expect)
        self.failure = ""
        self.problems: list[str] = []
        self.viewer = viewer
        self.watcher = Watcher(attended=request.console or request.devices.display)
        self._request = request
        self._path = launch.work / launch.serial
        self._logs = logs
        self._offset = 0
        self._readable = SerialText()
        self._line = _line(request, launch, viewer)
        self._screen = _screen(request, launch)
        self.line = closing(self._line) if self._line else nullcontext()
        self.screen = closing(self._screen) if self._screen else nullcontext()

    def until_end(self, process: subprocess.Popen[bytes]) -> tuple[ExitReason | None, int]:
        """The reason to end the run, or None and the emulator's exit status."""
        began = time.monotonic()
        while True:
            status = self._wait(process)
            self.drain()
            self.viewer.tick(self.watcher.stage, time.monotonic() - began)
            if status is not None:
                return None, status
            if reason := self._reason(time.monotonic() - began):
                self._save_screen()
                return reason, 0

    def _wait(self, process: subprocess.Popen[bytes]) -> int | None:
        """Wait a moment, or less if there is something to do; the exit status, if it has ended."""
        if self._line is None:
            return wait(process, _POLL)
        self._line.wait(_POLL)
        return process.poll()

    def _reason(self, seconds: float) -> ExitReason | None:
        """The reason to end the run now, if any."""
        if self._all_seen():
            return ExitReason.EXPECTED
        if self._line and self._line.is_over:
            return ExitReason.QUIT
        if self._screen and self._screen.is_off():
            return ExitReason.POWER_OFF
        if self._request.verdicts and not self._request.until_power_off:
            self.failure = self.watcher.failure()
            if self.failure:
                return ExitReason.GUEST_FAILED
        is_over = 0 < self._request.timeout <= seconds
        return ExitReason.TIMEOUT if is_over else None

    def _save_screen(self) -> None:
        if self._screen and (problem := self._screen.save()):
            self.problems.append(problem)

    def _all_seen(self) -> bool:
        wanted = self._request.expect and not self._request.until_power_off
        return bool(wanted) and not self.missing

    def drain(self, *, final: bool = False) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            data = b""
        self._offset += len(data)
        text = self._readable.feed(data, final=final)
        self._logs.write(data, text)
        if data or text:
            self.viewer.show(data, text)
            self._look_at(text)

    def _look_at(self, new: str) -> None:
        self.watcher.feed(new)
        start = max(0, len(self.text) - _OVERLAP)
        start = self.text.rfind("\n", 0, start) + 1
        self.text += new
        self.missing = [
            expression
            for expression in self.missing
            if not re.compile(expression, re.MULTILINE).search(self.text, start)
        ]


def _line(request: RunRequest, launch: Launch, viewer: Viewer) -> SerialLine | None:
    """The serial port that takes input, if the request has one."""
    if not request.console or viewer.console is None:
        return None
    return SerialLine(launch.work, launch.work / launch.serial, viewer.console)


def _screen(request: RunRequest, launch: Launch) -> Screen | None:
    file = request.devices.screenshot
    return Screen(launch.work, file) if file else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
