"""A progress bar on standard error, drawn by rich; only on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from efi_image import progress
from efi_image.render.text import human

if TYPE_CHECKING:
    from rich.progress import Progress

FIRST = 1.0  # seconds; shorter work shows nothing
EVERY = 0.1


class ProgressBar:
    """A progress.Progress that draws one line: a bar, bytes, rate and time left.

    The line is gone after the `with` block. rich is imported when the first line is drawn:
    loading it takes longer than most work does.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        title: str = "",
    ) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._clock = clock
        self._start = clock()
        self._next = self._start + FIRST
        self._done = 0
        self._bar: Progress | None = None

    @property
    def progress(self) -> progress.Progress | None:
        """The bar itself; None where it would show nothing."""
        can_draw = self._stream and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        return self if can_draw else None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are done; fewer than before: another step began."""
        now = self._clock()
        if done < self._done:
            self._start = now
        self._done = done
        if now < self._next or not self.progress:
            return
        self._next = now + EVERY
        bar = self._bar = self._bar or _bar(self._stream, self._title)
        text = describe(done, total, now - self._start)
        bar.update(bar.task_ids[0], completed=done, total=total, text=text)
        bar.start()
        bar.refresh()

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._bar:
            self._bar.stop()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()


def _bar(stream: TextIO, title: str) -> Progress:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    # drawn by `refresh` alone: no thread of rich's draws, and other output is left as it is
    bar = Progress(
        TextColumn("{task.description}{task.fields[text]}", markup=False),
        BarColumn(20),
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task(f"{title}: " if title else "", text="")
    return bar


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
