"""Shows a run: the serial port, and a status line during the boot."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from subprocess import Popen
from threading import RLock
from typing import BinaryIO, TextIO

import click

from efi_image.cli.progress_bar import ProgressBar
from efi_image.cli.serial_console import KEYS_HINT, Keyboard, Pipe
from efi_image.cli.status_line import StatusLine
from efi_image.emulator import Viewer
from efi_image.errors import printable
from efi_image.progress import Progress

_QUIET = 0.5  # seconds without output before the status line appears
_STAGES = {"firmware": "the firmware starts", "zpp": "zpp starts", "kernel": "the kernel boots"}


class RunViewer(Viewer):
    """Shows the serial port, but not while a debugger uses the terminal.

    The status line is drawn only while the cursor is at the start of a line, and the guest's
    output erases it, so they never mix. With a console the terminal gets the guest's bytes as they
    are, else readable text.
    """

    def __init__(
        self,
        console: Keyboard | Pipe | None = None,
        *,
        shown: bool = True,
        out: TextIO | None = None,
        err: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console
        self._keyboard = console if isinstance(console, Keyboard) else None
        self.busy: Popen[bytes] | None = None
        out = out or sys.stdout  # None if the caller has closed it
        self._output: BinaryIO | None = out.buffer if shown and out else None
        self.shows_text = shown and _go_to_one_place(out, err or sys.stderr)
        self._encoding = (out.encoding if out else None) or "utf-8"
        self._is_shared = out is not None and out.isatty()  # with the status line
        self._status = StatusLine(err or sys.stderr)
        self._unpacking = ProgressBar(title="unpacking")
        self._clock = clock
        self._last = clock()
        self._kept = b""  # while a debugger has the terminal
        self._kept_lines: list[str] = []
        self._at_start = True  # of a line
        self._is_booting = True
        self._lock = RLock()  # a trace is explained by a thread of its own

    def unpacking(self) -> Progress | None:
        return self._unpacking.progress

    def say(self, line: str) -> None:
        """Print a line of our own while the guest runs."""
        with self._lock:
            self._kept_lines.append(line)
            if self._is_left:
                self._take_over()
                self.finish()

    def _say(self, line: str) -> None:
        click.secho(f"zpp-image: {printable(line)}{self._end}", err=True, dim=True, nl=False)

    def show(self, data: bytes, text: str) -> None:
        with self._lock:
            self._show(data, text)

    def _show(self, data: bytes, text: str) -> None:
        piece = data if self._keyboard else text.encode(self._encoding, "replace")
        self._unpacking.clear()
        if not piece or self._output is None:
            return
        self._kept += piece
        self._last = self._clock()
        if self._is_left:
            self._take_over()
            self._write()

    def tick(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._tick(stage, seconds)

    def _tick(self, stage: str, seconds: float) -> None:
        self._unpacking.clear()
        self._take_over()
        quiet = self._clock() - self._last
        # a prompt, or a key: somebody uses the guest by now
        if (stage == "kernel" and not self._at_start and quiet > _QUIET) or self._was_used():
            self._is_booting = False
        if not self._is_booting or self.busy is not None:
            self._status.erase()
        elif self._may_draw and quiet > _QUIET:
            self._status.draw(f"zpp-image: {seconds:.0f} s: {_STAGES[stage]} …", dim=True)

    @property
    def _end(self) -> str:
        """The end of a line."""
        return "\r\n" if self._keyboard and self._keyboard.is_open else "\n"

    def _take_over(self) -> None:
        """Give the terminal to the guest when the debugger has left it."""
        if self.busy is None or not self._is_left:
            return
        if self._keyboard and not self._keyboard.is_open:
            self._say(KEYS_HINT)
            self._keyboard.open()
        if self._kept_lines:
            self.finish()
        self._write()

    @property
    def _is_left(self) -> bool:
        return self.busy is None or self.busy.poll() is not None

    def _was_used(self) -> bool:
        return self._keyboard is not None and self._keyboard.used

    def _write(self) -> None:
        self._status.erase()
        if self._kept and self._output:
            self._output.write(self._kept)
            self._output.flush()
            self._at_start = self._kept.endswith(b"\n")
            self._kept = b""

    @property
    def _may_draw(self) -> bool:
        return self._at_start or not self._is_shared

    def finish(self) -> None:
        """Leave the cursor at the start of an empty line."""
        self._unpacking.clear()
        try:
            self._write()
            if not self._at_start and self._output:
                self._output.write(self._end.encode())
                self._output.flush()
                self._at_start = True
            while self._kept_lines:
                self._say(self._kept_lines.pop(0))
        except OSError as error:
            if error.errno != errno.EIO:  # the terminal is gone
                raise


def _go_to_one_place(out: TextIO | None, err: TextIO | None) -> bool:
    """Whether two streams are the same terminal, file or pipe."""
    try:
        return bool(out and err and os.path.sameopenfile(out.fileno(), err.fileno()))
    except (OSError, ValueError):  # not a real file
        return False
