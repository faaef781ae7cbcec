"""Runs an engine's command: follows the serial port, keeps the logs, ends it in every case."""

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
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from efi_image.emulator.base import (
    BootResult,
    End,
    Engine,
    ExitReason,
    Launch,
    RunRequest,
    failure_details,
)
from efi_image.emulator.serial import SerialText
from efi_image.errors import EmulatorFailed, EmulatorMissing, OutputError

Terminal = Callable[[str], None]

_POLL = 0.05  # seconds
_GRACE = 3.0  # seconds for an emulator to write its last words
_OVERLAP = 4096  # characters before a new piece that an expression may reach back
_OUTPUT = "emulator.out"


def run(request: RunRequest, engine: Engine, terminal: Terminal | None = None) -> BootResult:
    """Boot `request.image`; `terminal` gets the readable serial text as it comes.

    A power-off, the expected text and a passed time limit are results; EmulatorFailed says that
    the emulator did not start, failed, or was killed.
    """
    request.check_files()
    with _work_directory(request) as work, _Logs(request.log) as logs:
        launch = engine.prepare(request, work)
        started = time.monotonic()
        watch = _Watch(request, launch, logs, terminal or _nowhere)
        try:
            with _Process(launch) as process:
                reason, status = watch.until_end(process)
        except BaseException:
            watch.terminal = _nowhere  # it may be the terminal that failed
            raise
        finally:
            watch.drain(final=True)
            log = _read(work / launch.log)
            logs.write_emulator(log, _read(work / _OUTPUT))
        end = End(reason) if reason else engine.end(status, log)
        if end.reason is None:
            raise _failure(engine, launch, status, watch.text, log)
        return BootResult(
            request=request,
            engine=engine.name,
            reason=end.reason,
            missing=tuple(watch.missing),
            serial=watch.text,
            emulator_log=log,
            problems=engine.problems(log),
            command=launch.line,
            seconds=time.monotonic() - started,
            guest_code=end.guest_code,
        )


def _failure(engine: Engine, launch: Launch, status: int, serial: str, log: str) -> EmulatorFailed:
    if status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    else:
        how = f"failed with exit status {status}"
    output = _read(launch.work / _OUTPUT).splitlines()
    problems = engine.problems(log) or tuple(output[-10:])
    return EmulatorFailed(
        f"{engine.name} {how}",
        details=failure_details(serial, log, problems, launch.line, kept=True),
    )


def _nowhere(_text: str) -> None:
    """No terminal."""


class _Watch:
    """The serial port while the emulator runs: text, logs, and what was seen of the expected."""

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

    def until_end(self, process: _Process) -> tuple[ExitReason | None, int]:
        """The reason for which this side ended the run, or None and the emulator's status."""
        limit = self._request.timeout
        deadline = time.monotonic() + limit if limit else None
        while True:
            status = process.wait(_POLL)
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


class _Process:
    """The emulator with all its children; gone when the block ends."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    def __enter__(self) -> _Process:
        launch = self._launch
        try:
            with (launch.work / _OUTPUT).open("wb") as output:
                self._process = subprocess.Popen(
                    launch.command, cwd=launch.work, env={**os.environ, **launch.environment},
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip
        except FileNotFoundError:
            raise EmulatorMissing(
                f"{launch.command[0]} is not installed", details=(launch.line,)
            ) from None
        except OSError as error:
            raise EmulatorFailed(
                f"{launch.command[0]} cannot be started ({error.strerror})", details=(launch.line,)
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._process.poll() is None:
                self._signal(self._launch.stop_signal)
                self.wait(_GRACE)
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class _Logs:
    """The files of `--log`, written while the guest runs; or none."""

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
        """What cannot be written is an OutputError, and nothing more is written."""
        try:
            yield
        except OSError as error:
            self._close()
            self._path = None
            raise OutputError(f"cannot be written ({error.strerror})", where=str(path)) from None

    def _close(self) -> None:
        for file in (self._text, self._raw):
            if file is not None:
                with contextlib.suppress(OSError):  # it was flushed before, or there is no room
                    file.close()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


@contextlib.contextmanager
def _work_directory(request: RunRequest) -> Iterator[Path]:
    """Each run's own; it stays when asked for, and when its command line has to be tried again."""
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
