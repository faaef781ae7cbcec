"""How far long work is, on the terminal; nothing where standard error is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from efi_image.progress import Progress
from efi_image.render.text import human

FIRST = 1.0  # seconds; what takes less shows nothing
EVERY = 0.1


class Meter:
    """Draws a line with bytes, rate and time left; a Progress, and gone after its `with` block."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        title: str = "",
    ) -> None:
        self._title = f"{title}: " if title else ""
        self._stream = stream or sys.stderr
        self._clock = clock
        self._start = clock()
        self._next = self._start + FIRST if self._stream.isatty() else float("inf")
        self._done = 0
        self._width = 0

    @property
    def progress(self) -> Progress | None:
        """The meter itself; None if it would show nothing."""
        return self if self._stream.isatty() else None

    def __call__(self, done: int, total: int) -> None:
        """Show that so many bytes of `total` are done; fewer than before: something else began."""
        now = self._clock()
        if done < self._done:
            self._start = now
        self._done = done
        if now < self._next:
            return
        self._next = now + EVERY
        line = self._title + describe(done, total, now - self._start)
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()


def describe(done: int, total: int, seconds: float) -> str:
    """`42%  210.0 MiB of 500.0 MiB  105.0 MiB/s  0:03 left`."""
    rate = done / seconds if seconds > 0 else 0
    percent = 100 * done // total if total else 100
    parts = [f"{percent:3}%", f"{human(done)} of {human(total)}", f"{human(int(rate))}/s"]
    if rate:
        minutes, rest = divmod(round((total - done) / rate), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(
            f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
        )
    return "  ".join(parts)
