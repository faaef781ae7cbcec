"""The writes that change a volume, in an order that keeps it readable at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from efi_image.errors import InputError
from efi_image.io.source import Source

PIECE = 1 << 18  # bytes; all clusters are parts of it
Block = tuple[int, bytes]  # the block's byte in the image, and its new content


@dataclass(frozen=True, slots=True)
class NewData:
    """The next `size` bytes of a file, which go to byte `offset` of the image.

    The rest after the end of the file is zeros.
    """

    source: Source
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Changes:
    """All writes: `data` first, then the stages, with a flush behind each."""

    data: tuple[NewData, ...] = ()
    stages: tuple[tuple[Block, ...], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of new data."""
        return sum(each.size for each in self.data)

    def contents(self) -> Iterator[Block]:
        """The new data, in pieces with their byte in the image; raises InputError."""
        for source, rows in groupby(self.data, lambda each: each.source):
            pieces = _Pieces(source)
            for row in rows:
                for done in range(0, row.size, PIECE):
                    yield row.offset + done, pieces.take(min(PIECE, row.size - done))


class _Pieces:
    """A file's bytes in pieces, with zeros behind them."""

    def __init__(self, source: Source) -> None:
        self._name = source.name
        self._chunks = source.chunks()
        self._ready = bytearray()
        self._left = source.size

    def take(self, count: int) -> bytes:
        """The next bytes; raises InputError if the file is not as long as before."""
        while self._left and len(self._ready) < count:
            chunk = next(self._chunks, b"")
            if not chunk or len(chunk) > self._left:
                raise InputError("changed while it was used", where=self._name)
            self._ready += chunk
            self._left -= len(chunk)
        piece = bytes(self._ready[:count])
        del self._ready[:count]
        return piece.ljust(count, b"\0")
