"""Writes cells and holes of an image to a target, in the worker threads."""

from __future__ import annotations

from dataclasses import dataclass, field

from efi_image.flash.checksums import Written, sha256
from efi_image.flash.chunker import Cell, Span, aligned, differing, joined
from efi_image.flash.options import WriteOptions
from efi_image.flash.target import Target


@dataclass(slots=True)
class Stored:
    """The bytes before `end` are on the target: `pieces` of data, and `zeros` (offset, size).

    `written` and `kept` count bytes of data.
    """

    end: int
    pieces: list[Written] = field(default_factory=list)
    zeros: list[Span] = field(default_factory=list)
    written: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """Writes to one target. Data before byte `resumed` is there from an earlier write."""

    target: Target
    options: WriteOptions
    resumed: int = 0

    def cell(self, start: int, cell: Cell) -> Stored:
        """Write a cell's data, and the holes from `start` to the last of it. Raises OutputError."""
        stored = Stored(start)
        for first, end in cell.runs:
            self._hole(cell.offset + first, stored)
            self._data(cell.offset + first, cell.buffer[first:end], stored)
        return stored

    def hole(self, start: int, end: int) -> Stored:
        """Zero a hole, unless the options leave its content alone. Raises OutputError."""
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
        """Write the grains that differ; the others were just read back."""
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
