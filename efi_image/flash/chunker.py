"""Cuts an image that comes front to back into pieces on a fixed grid; the rest are holes."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

PIECE = 1 << 20  # bytes of a write; some of them stay in a processor's cache
GRAIN = 1 << 16  # a hole is made of whole ones; smaller holes are written as zeros
_GRAINS = PIECE // GRAIN
_ZEROS = bytes(PIECE)


def aligned(size: int) -> memoryview:
    """Memory that begins at a page, as direct input and output want it."""
    return memoryview(mmap.mmap(-1, size))


def same(one: memoryview, other: memoryview | bytes) -> bool:
    """Whether the bytes are the same."""
    # memoryview's own comparison goes byte by byte, and takes ten times as long
    return len(one) == len(other) and one.tobytes() == bytes(other)


def is_zero(view: memoryview) -> bool:
    """Whether all bytes are zeros; at most PIECE of them."""
    if not view or view[0] or view[-1]:
        return not view
    return view.tobytes() == _ZEROS[: len(view)]


def differing(old: memoryview, new: memoryview) -> Iterator[tuple[int, int]]:
    """Where runs of grains that differ begin and end."""
    start = None
    for place in range(0, len(new), GRAIN):
        there = same(old[place : place + GRAIN], new[place : place + GRAIN])
        if there and start is not None:
            yield start, place
            start = None
        elif not there and start is None:
            start = place
    if start is not None:
        yield start, len(new)


class Receiver(Protocol):
    """Takes the pieces of an image, in their order."""

    def piece(self, offset: int, view: memoryview) -> None:
        """Data at that offset, within one cell of the grid; the view is valid for the call."""

    def lend(self) -> memoryview | None:
        """PIECE bytes for a whole cell, if it has some, which go to `cell` or `release`."""

    def cell(self, offset: int, buffer: memoryview) -> None:
        """A whole cell of data in a buffer that was lent."""

    def release(self, buffer: memoryview) -> None:
        """A buffer that was lent, of no use."""


class Copying(ABC):
    """Takes what is to be filled in as data."""

    _spare = memoryview(b"")

    @abstractmethod
    def data(self, position: int, view: memoryview) -> None:
        """Data is at that position, which is not before what was told earlier."""

    def fill(self, position: int, count: int, read: Callable[[memoryview], None]) -> None:
        """Data is at that position, which `read` puts where it is told to; at most PIECE bytes."""
        if not self._spare:
            self._spare = aligned(PIECE)
        view = self._spare[:count]
        read(view)
        self.data(position, view)


class Assembler(Copying):
    """Told of an image's data front to back; gives pieces to a receiver.

    Zeros that fill a grain are no data, and become part of a hole.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = aligned(PIECE)
        self._cell = 0
        self._used = [False] * _GRAINS
        self._clean = True

    def data(self, position: int, view: memoryview) -> None:
        """Data is at that position, which is not before what was told earlier."""
        done = 0
        while done < len(view):
            cell, start = divmod(position + done, PIECE)
            if cell != self._cell:
                self._emit(self._buffer)
                self._cell = cell
            count = min(PIECE - start, len(view) - done)
            part = view[done : done + count]
            if count == PIECE:  # a whole cell need not be put together
                self._used = [True] * _GRAINS
                self._emit(part)
            else:
                self._put(start, part)
            done += count

    def fill(self, position: int, count: int, read: Callable[[memoryview], None]) -> None:
        """Data is at that position, which `read` puts where it is told to, within one cell."""
        lent = self._receiver.lend() if count == PIECE else None
        if lent is None:
            super().fill(position, count, read)
            return
        try:
            read(lent)
        except BaseException:
            self._receiver.release(lent)
            raise
        self._emit(self._buffer)
        self._cell = position // PIECE
        self._used = [True] * _GRAINS
        if list(self._runs(lent)) == [(0, PIECE)]:
            self._used = [False] * _GRAINS
            self._receiver.cell(position, lent)
        else:
            self._emit(lent)
            self._receiver.release(lent)

    def _put(self, start: int, view: memoryview) -> None:
        end = start + len(view)
        if not self._clean and not any(self._used):
            self._buffer[:] = _ZEROS
        self._clean = False
        self._buffer[start:end] = view
        for grain in range(start // GRAIN, -(-end // GRAIN)):
            self._used[grain] = True

    def finish(self) -> None:
        """Give what is left."""
        self._emit(self._buffer)

    def _emit(self, cell: memoryview) -> None:
        for first, last in self._runs(cell):
            offset = self._cell * PIECE + first
            self._receiver.piece(offset, cell[first:last])
        self._used = [False] * _GRAINS

    def _runs(self, cell: memoryview) -> Iterator[tuple[int, int]]:
        """Where runs of grains with data begin and end in the cell."""
        start = None
        for grain in range(_GRAINS + 1):
            place = grain * GRAIN
            has_data = (
                grain < _GRAINS and self._used[grain] and not is_zero(cell[place : place + GRAIN])
            )
            if has_data and start is None:
                start = place
            elif not has_data and start is not None:
                yield start, place
                start = None


def joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same places (offset and size), those that touch as one: a hole may have a million."""
    joined: list[tuple[int, int]] = []
    for offset, size in spans:
        if joined and sum(joined[-1]) == offset:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((offset, size))
    return tuple(joined)
