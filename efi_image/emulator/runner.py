"""Runs an emulator: starts it, follows the serial port, keeps the logs, and always ends it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from efi_image.emulator.base import (
    BootResult,
    Emulator,
    End,
    ExitReason,
    Launch,
    RunRequest,
    failure_details,
)
from efi_image.emulator.serial import SerialText
from efi_image.errors import EmulatorFailed, EmulatorMissing, OutputError
from efi_image.formats.detect import HEAD, is_raw, open_medium
from efi_image.io.medium import open_raw
from efi_image.io.sink import Sink

Terminal = Callable[[str], None]

_POLL = 0.05  # seconds
_GRACE = 3.0  # seconds for an emulator to write its log
_OVERLAP = 4096  # characters before new text in which a match may begin
_OUTPUT = "emulator.out"


def run(request: RunRequest, emulator: Emulator, terminal: Terminal | None = None) -> BootResult:
    """Boot `request.image`; `terminal` gets the readable serial text as it comes.

    A power-off, the expected text and the time limit are results. Raises EmulatorFailed if the
    emulator did not start, failed, or was killed, EmulatorMissing, InputError, OutputError, and
    whatever `terminal` raises.
    """
    request.check_files()
    with (
        _work_directory(request) as work,
        _raw(request, work) as raw,
        _Logs(request.log) as logs,
    ):
        launch = emulator.prepare(raw, work)
        started = time.monotonic()
        watch = _Watch(request, launch, logs, terminal or _nowhere)
        try:
            with _started(launch) as process:
                reason, status = watch.until_end(process)
        except BaseException:
            watch.terminal = _nowhere  # the terminal itself may have failed
            raise
        finally:
            watch.drain(final=True)
            log = _read(work / launch.log)
            logs.write_emulator(log, _read(work / _OUTPUT))
        end = End(reason) if reason else emulator.end(status, log)
        if end.reason is None:
            raise _failure(emulator, launch, status, watch.text, log)
        return BootResult(
            request=request,
            emulator=emulator.name,
            reason=end.reason,
            missing=tuple(watch.missing),
            serial=watch.text,
            emulator_log=log,
            problems=emulator.problems(log),
            command=launch.line,
            seconds=time.monotonic() - started,
            guest_code=end.guest_code,
        )


def _failure(
    emulator: Emulator, launch: Launch, status: int, serial: str, log: str
) -> EmulatorFailed:
    if status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    else:
        how = f"failed with exit status {status}"
    output = _read(launch.work / _OUTPUT)
    text = log if log == output else log + output
    return EmulatorFailed(
        f"{emulator.name} {how}",
        details=failure_details(serial, emulator.problems(text), launch.line, log=text, kept=True),
    )


def _nowhere(_text: str) -> None:
    """No terminal."""


class _Watch:
    """Follows the serial port: text, logs, and the expected text that is still missing."""

    def __init__(
        self, request: RunRequest, launch: Launch, logs: _Logs, terminal: Terminal
    ) -> None:
        self.text = ""
        self.missing = list(request.expect)
        self._request = request
        self._path = launch.work / launch.serial
        self._logs = logs
        self.terminal = terminal
        self._offset = 0
        self._readable = SerialText()

    def until_end(self, process: subprocess.Popen[bytes]) -> tuple[ExitReason | None, int]:
        """The reason to end the run, or None and the emulator's exit status."""
        limit = self._request.timeout
        deadline = time.monotonic() + limit if limit else None
        while True:
            status = _wait(process, _POLL)
            self.drain()
            if status is not None:
                return None, status
            if self._all_seen():
                return ExitReason.EXPECTED, 0
            if deadline is not None and time.monotonic() >= deadline:
                return ExitReason.TIMEOUT, 0

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
        if text:
            self.terminal(text)
            self._look_at(text)

    def _look_at(self, new: str) -> None:
        start = max(0, len(self.text) - _OVERLAP)
        start = self.text.rfind("\n", 0, start) + 1
        self.text += new
        self.missing = [
            expression
            for expression in self.missing
            if not re.compile(expression, re.MULTILINE).search(self.text, start)
        ]


@contextlib.contextmanager
def _raw(request: RunRequest, work: Path) -> Iterator[RunRequest]:
    """The request for the raw image that a compressed one or a virtual disk stands for."""
    with open_raw(request.image) as file, open_medium(request.image) as medium:
        if is_raw(file.peek(0, HEAD)) and medium.size == file.size:
            yield request
            return
        unpacked = work / "image.raw"
        with unpacked.open("w+b") as out:
            sink = Sink(out.fileno(), str(unpacked), digest=False)
            for piece in medium.chunks(0, medium.size):
                sink.write(piece)
            sink.finish()
    raw = replace(request, image=unpacked)
    raw.check_files()
    yield raw


@contextlib.contextmanager
def _started(launch: Launch) -> Iterator[subprocess.Popen[bytes]]:
    """The emulator with all its children; none is left when the block ends."""
    try:
        with (launch.work / _OUTPUT).open("wb") as output:
            process = subprocess.Popen(
                launch.command, cwd=launch.work, env={**os.environ, **launch.environment},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        details = ("the command line was:", f"  {launch.line}")
        program = launch.command[0]
        if isinstance(error, FileNotFoundError):
            raise EmulatorMissing(f"{program} is not installed", details=details) from None
        raise EmulatorFailed(
            f"{program} does not start ({error.strerror})", details=details
        ) from None
    try:
        yield process
    finally:
        try:
            if process.poll() is None:
                _signal(process, launch.stop_signal)
                _wait(process, _GRACE)
        finally:
            _signal(process, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit status; None if it still runs after that time."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the process and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class _Logs:
    """The files of `--log`, if asked for, written while the guest runs."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._text: BinaryIO | None = None
        self._raw: BinaryIO | None = None

    def __enter__(self) -> _Logs:
        if self._path is not None:
            with self._faults(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._text = self._path.open("wb")
                self._raw = _beside(self._path, "raw").open("wb")
                _beside(self._path, "emulator").unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, data: bytes, text: str) -> None:
        if self._path is None:
            return
        with self._faults(self._path):
            for file, piece in ((self._raw, data), (self._text, text.encode())):
                if file is not None and piece:
                    file.write(piece)
                    file.flush()

    def write_emulator(self, log: str, output: str) -> None:
        if self._path is not None:
            text = log if log == output else log + output
            with self._faults(self._path):
                _beside(self._path, "emulator").write_text(text, encoding="utf-8")

    @contextlib.contextmanager
    def _faults(self, path: Path) -> Iterator[None]:
        """Turn an OSError into an OutputError, and write nothing more."""
        try:
            yield
        except OSError as error:
            self._close()
            self._path = None
            raise OutputError(f"cannot be written ({error.strerror})", where=str(path)) from None

    def _close(self) -> None:
        for file in (self._text, self._raw):
            if file is not None:
                with contextlib.suppress(OSError):  # flushed before, or the disk is full
                    file.close()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


@contextlib.contextmanager
def _work_directory(request: RunRequest) -> Iterator[Path]:
    """A folder for one run; it is kept if asked for, or if the emulator failed."""
    work = Path(tempfile.mkdtemp(prefix="zpp-run-"))
    keep = request.debug.keep_work
    try:
        yield work
    except EmulatorFailed:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(work, ignore_errors=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
