"""Stores cells and holes of an image on a target; runs in the worker threads."""

from __future__ import annotations

from dataclasses import dataclass, field

from efi_image.flash.checksums import Written, sha256
from efi_image.flash.chunker import Cell, Span, aligned, differing, joined
from efi_image.flash.options import WriteOptions
from efi_image.flash.target import Target


@dataclass(slots=True)
class Stored:
    """What was done for the bytes before `end`: pieces written or found there, holes zeroed.

    `written` and `kept` count bytes; `zeros` are offsets and sizes.
    """

    end: int
    pieces: list[Written] = field(default_factory=list)
    zeros: list[Span] = field(default_factory=list)
    written: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """Stores on one target. What ends before `resumed` is there from an earlier write."""

    target: Target
    options: WriteOptions
    resumed: int = 0

    def cell(self, start: int, cell: Cell) -> Stored:
        """Store a cell's data, and the holes between `start` and the last of it.

        Raises OutputError.
        """
        stored = Stored(start)
        for first, end in cell.runs:
            self._hole(cell.offset + first, stored)
            self._data(cell.offset + first, cell.buffer[first:end], stored)
        return stored

    def hole(self, start: int, end: int) -> Stored:
        """Make it zeros, or leave it alone if the options say so. Raises OutputError."""
        stored = Stored(start)
        self._hole(end, stored)
        return stored

    def _hole(self, end: int, stored: Stored) -> None:
        if not self.options.skip_holes and end > stored.end:
            stored.zeros += joined(self.target.zero(stored.end, end - stored.end))
        stored.end = end

    def _data(self, offset: int, view: memoryview, stored: Stored) -> None:
        stored.end = offset + len(view)
        if self.options.delta:
            self._difference(offset, view, stored)
            return
        stored.pieces.append(self._piece(offset, view))
        if stored.end <= self.resumed:
            stored.kept += len(view)
        else:
            self.target.write(offset, view)
            stored.written += len(view)

    def _difference(self, offset: int, view: memoryview, stored: Stored) -> None:
        """Write what differs; the rest was read back just now."""
        old = aligned(len(view))
        self.target.read(offset, old)
        written = 0
        for start, end in differing(old, view):
            self.target.write(offset + start, view[start:end])
            stored.pieces.append(self._piece(offset + start, view[start:end]))
            written += end - start
        stored.written += written
        stored.kept += len(view) - written

    def _piece(self, offset: int, view: memoryview) -> Written:
        return Written(offset, len(view), sha256(view) if self.options.verify else b"")
