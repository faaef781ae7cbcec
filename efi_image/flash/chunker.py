"""Cuts an image, which comes front to back, into cells of a fixed grid; the rest is holes."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

PIECE = 1 << 20  # bytes of a cell; a few of them stay in a processor's cache
GRAIN = 1 << 16  # bytes; holes are whole grains, smaller ones are written as zeros
_GRAINS = PIECE // GRAIN
_ZEROS = bytes(PIECE)

Span = tuple[int, int]  # start and end


def aligned(size: int) -> memoryview:
    """Zeroed memory that begins at a page, as direct I/O needs it."""
    return memoryview(mmap.mmap(-1, size))


def aligned_copy(data: bytes) -> memoryview:
    """A copy that begins at a page."""
    view = aligned(len(data))
    view[:] = data
    return view


def same(one: memoryview, other: memoryview | bytes) -> bool:
    """Whether the bytes are equal."""
    # memoryview's own comparison goes byte by byte and takes ten times as long
    return len(one) == len(other) and one.tobytes() == bytes(other)


def is_zero(view: memoryview) -> bool:
    """Whether all bytes are zero; at most PIECE of them."""
    if not view or view[0] or view[-1]:
        return not view
    return view.tobytes() == _ZEROS[: len(view)]


def _runs(flags: Iterable[bool]) -> Iterator[Span]:
    """Where runs of grains with a set flag begin and end, in bytes."""
    start, place = None, 0
    for flag in flags:
        if flag and start is None:
            start = place
        elif not flag and start is not None:
            yield start, place
            start = None
        place += GRAIN
    if start is not None:
        yield start, place


def differing(old: memoryview, new: memoryview) -> Iterator[Span]:
    """Where runs of grains that differ begin and end, in bytes."""
    grains = range(0, len(new), GRAIN)
    flags = (not same(old[at : at + GRAIN], new[at : at + GRAIN]) for at in grains)
    return ((start, min(end, len(new))) for start, end in _runs(flags))


class DataSink(ABC):
    """Takes the data of an image, front to back; gaps are zeros."""

    _scratch = memoryview(b"")

    @abstractmethod
    def write_at(self, position: int, view: memoryview) -> None:
        """Data at that byte; the view is valid during the call."""

    def fill_at(self, position: int, count: int, read: Callable[[memoryview], None]) -> None:
        """The same, of at most PIECE bytes within one cell that `read` puts into a view."""
        if not self._scratch:
            self._scratch = aligned(PIECE)
        view = self._scratch[:count]
        read(view)
        self.write_at(position, view)


@dataclass(frozen=True, slots=True)
class Cell:
    """PIECE bytes of an image at `offset`; only `runs` of them (start, end) are data."""

    offset: int
    buffer: memoryview
    runs: tuple[Span, ...]

    def clipped(self, start: int, end: int) -> Cell:
        """Only the data from byte `start` to before byte `end` of the image."""
        first, last = start - self.offset, end - self.offset
        spans = ((max(a, first), min(b, last)) for a, b in self.runs)
        return Cell(self.offset, self.buffer, tuple((a, b) for a, b in spans if a < b))


class Buffers(Protocol):
    """Lends buffers of PIECE bytes (WorkerPool does)."""

    def buffer(self) -> memoryview:
        """A buffer, with any content."""

    def release(self, buffer: memoryview) -> None:
        """Take a buffer back."""


class Chunker(DataSink):
    """Puts data into cells, in buffers that are lent, and passes each cell to `take`.

    Grains of zeros are holes. A cell without data is not passed on.
    """

    def __init__(self, buffers: Buffers, take: Callable[[Cell], None]) -> None:
        self._buffers = buffers
        self._take = take
        self._cell = 0
        self._buffer: memoryview | None = None
        self._used = [False] * _GRAINS

    def write_at(self, position: int, view: memoryview) -> None:
        """Data at that byte, not before earlier data."""
        done = 0
        while done < len(view):
            count = min(PIECE - (position + done) % PIECE, len(view) - done)
            room = self._room(position + done, count)
            room[:] = view[done : done + count]
            self._mark(position + done, count)
            done += count

    def fill_at(self, position: int, count: int, read: Callable[[memoryview], None]) -> None:
        """Data at that byte, within one cell, read straight into the cell's buffer."""
        read(self._room(position, count))
        self._mark(position, count)

    def _room(self, position: int, count: int) -> memoryview:
        """Where those bytes of a cell go; around them, new grains are zeroed."""
        cell, start = divmod(position, PIECE)
        if cell != self._cell:
            self.finish()
            self._cell = cell
        if self._buffer is None:
            self._buffer = self._buffers.buffer()
        end = start + count
        for grain in {start // GRAIN, (end - 1) // GRAIN}:
            first = grain * GRAIN
            if not self._used[grain] and not start <= first < first + GRAIN <= end:
                self._buffer[first : first + GRAIN] = _ZEROS[:GRAIN]
        return self._buffer[start:end]

    def _mark(self, position: int, count: int) -> None:
        start = position % PIECE
        for grain in range(start // GRAIN, -(-(start + count) // GRAIN)):
            self._used[grain] = True

    def finish(self) -> None:
        """Pass on the last cell."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return
        flags = (
            used and not is_zero(buffer[grain * GRAIN : (grain + 1) * GRAIN])
            for grain, used in enumerate(self._used)
        )
        runs = tuple(_runs(flags))
        self._used = [False] * _GRAINS
        if runs:
            self._take(Cell(self._cell * PIECE, buffer, runs))
        else:
            self._buffers.release(buffer)


def joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same places (offset and size), those that touch as one: a hole may have a million."""
    joined: list[tuple[int, int]] = []
    for offset, size in spans:
        if joined and sum(joined[-1]) == offset:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((offset, size))
    return tuple(joined)
