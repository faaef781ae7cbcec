"""A serial port that takes input: a pseudo-terminal between the emulator and a console.

A separate thread saves every byte of the guest in a file, whatever the console does.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from pathlib import Path
from typing import BinaryIO

from efi_image.emulator.base import Console
from efi_image.errors import OutputError

DEVICE = "serial.tty"  # in the work directory: a link to the emulator's end
_PIECE = 0x10000
_POLL = 0.1  # seconds between looks whether the console is open
_MOST_WAITING = 4096  # bytes of input that the guest has not taken


class SerialLine:
    """The pseudo-terminal; `is_over` when the console ended the run."""

    def __init__(self, work: Path, output: Path, console: Console) -> None:
        import tty  # noqa: PLC0415

        self.is_over = False
        self._fault: OSError | None = None
        self._output = output
        self._console = console
        # not an Event: the exception of a signal could leave its lock taken
        self._news, self._notice = os.pipe()
        os.set_blocking(self._notice, False)
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        (work / DEVICE).symlink_to(os.ttyname(self._theirs))
        self._stop_reader, self._stop_writer = os.pipe()
        self._file = output.open("wb", buffering=0)
        self._thread = threading.Thread(target=self._pump, args=(self._file,), daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for bytes of the guest, or for the console to end the run. Raises OutputError."""
        if select.select([self._news], [], [], seconds)[0]:
            os.read(self._news, _PIECE)
        if self._fault:
            raise OutputError(
                f"cannot be written ({self._fault.strerror})", where=str(self._output)
            )

    def close(self) -> None:
        """Read the last output of the emulator, which has ended."""
        os.write(self._stop_writer, b"\0")
        self._thread.join()
        self._file.close()
        for descriptor in (
            *(self._ours, self._theirs),
            *(self._stop_reader, self._stop_writer, self._news, self._notice),
        ):
            os.close(descriptor)

    def _notify(self) -> None:
        """End `wait`."""
        with contextlib.suppress(BlockingIOError):  # it will end anyway
            os.write(self._notice, b"\0")

    def _pump(self, file: BinaryIO) -> None:
        try:
            self._copy(file)
        except OSError as error:  # such as a full disk
            self._fault = error
            self._notify()

    def _copy(self, file: BinaryIO) -> None:
        waiting = b""  # for the guest
        has_input = True
        while True:
            readers: list[int] = [self._ours, self._stop_reader]
            keys = self._console.fileno()
            if keys >= 0 and has_input and len(waiting) < _MOST_WAITING:
                readers.append(keys)
            writers = [self._ours] if waiting else []
            limit = _POLL if keys < 0 else None
            readable, writable, _ = select.select(readers, writers, [], limit)
            if self._ours in readable:
                file.write(os.read(self._ours, _PIECE))
                self._notify()
            elif self._stop_reader in readable:
                return
            if writable:
                with contextlib.suppress(BlockingIOError):
                    waiting = waiting[os.write(self._ours, waiting) :]
            if keys in readable:
                typed = self._read()
                has_input = bool(typed)
                waiting += typed

    def _read(self) -> bytes:
        """Input for the guest; b"" if no more comes."""
        try:
            typed = self._console.read()
        except OSError:  # the terminal is gone
            return b""
        if typed is None:
            self.is_over = True
            self._notify()
        return typed or b""
