"""Progress on standard error, in one line of any width; only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from efi_image import progress
from efi_image.cli.status_line import StatusLine
from efi_image.render.text import human

FIRST = 1.0  # seconds; shorter work shows nothing
EVERY = 0.1
BAR = 20  # columns
LEAST_BAR = 6
# what to leave out of a line that does not fit, in steps
_LESS = ((), ("bytes",), ("bytes", "rate"), ("bytes", "rate", "title"))


class ProgressBar:
    """A progress.Progress that draws one line: bytes, rate, time left, and a bar.

    The line is gone after the `with` block.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        title: str = "",
    ) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._line = StatusLine(self._stream)
        self._clock = clock
        self._start = clock()
        self._next = self._start + FIRST
        self._done = 0

    @property
    def progress(self) -> progress.Progress | None:
        """The bar itself; None if it would show nothing."""
        return self if self._line.is_shown else None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are done; fewer than before: another step began."""
        now = self._clock()
        if done < self._done:
            self._start = now
        self._done = done
        if now < self._next or not self._line.is_shown:
            return
        self._next = now + EVERY
        seconds = now - self._start
        self._line.draw(fitted(self._title, done, total, seconds, self._line.columns))

    def clear(self) -> None:
        """Erase the line, so that something else can be printed."""
        self._line.erase()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()


def fitted(title: str, done: int, total: int, seconds: float, columns: int) -> str:
    """The line for that many columns: with a bar if there is room, else with less text."""
    facts = describe(done, total, seconds)
    for left_out in _LESS:
        head = f"{title}: " if title and "title" not in left_out else ""
        text = head + "  ".join(fact for name, fact in facts.items() if name not in left_out)
        if len(text) <= columns:
            break
    room = min(columns - len(text) - 2, BAR)
    return text if room < LEAST_BAR else f"{text}  {_bar(done, total, room)}"


def _bar(done: int, total: int, columns: int) -> str:
    full = columns * done // total if total else columns
    return "━" * full + "╌" * (columns - full)


def describe(done: int, total: int, seconds: float) -> dict[str, str]:
    """Name → text, such as `42%`, `210.0 MiB of 500.0 MiB`, `105.0 MiB/s` and `0:03 left`."""
    rate = done / seconds if seconds > 0 else 0
    percent = 100 * done // total if total else 100
    facts = {
        "percent": f"{percent:3}%",
        "bytes": f"{human(done)} of {human(total)}",
        "rate": f"{human(int(rate))}/s",
    }
    if rate:
        minutes, rest = divmod(round((total - done) / rate), 60)
        hours, minutes = divmod(minutes, 60)
        facts["left"] = (
            f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
        )
    return facts
