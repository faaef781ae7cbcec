"""Starts an emulator, and ends it with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

from efi_image.emulator.base import Launch
from efi_image.errors import EmulatorFailed, EmulatorMissing

OUTPUT = "emulator.out"  # in the work directory
GRACE = 3.0  # seconds for an emulator to write its log


@contextlib.contextmanager
def started(launch: Launch) -> Iterator[subprocess.Popen[bytes]]:
    """The emulator with all its children; none is left when the block ends."""
    try:
        with (launch.work / OUTPUT).open("wb") as output:
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
                send_signal(process, launch.stop_signal)
                wait(process, GRACE)
        finally:
            send_signal(process, signal.SIGKILL)
            _reap(process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end; `process.wait` hangs if the exception of a signal left its lock taken."""
    if process.returncode is None:
        status = -signal.SIGKILL
        with contextlib.suppress(ChildProcessError):
            status = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        process.returncode = status


def wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit status; None if it still runs after that time."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def send_signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the process and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
