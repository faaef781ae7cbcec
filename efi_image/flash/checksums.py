"""The SHA-256 of each piece that was written, to compare with the data read back."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.flash.chunker import PIECE

_SIZE = 32  # bytes of a checksum


def sha256(view: memoryview | bytes) -> bytes:
    """The SHA-256 of a piece."""
    return hashlib.sha256(view).digest()


@dataclass(frozen=True, slots=True)
class Written:
    """A piece that was written: offset and size in bytes, and its SHA-256."""

    offset: int
    size: int
    sha256: bytes


class Checksums:
    """All pieces, in the order they were written; 48 bytes of memory each."""

    def __init__(self) -> None:
        self._places = array("Q")
        self._checksums = bytearray()
        self.bytes = 0
        self._zeros: dict[int, bytes] = {}

    def add(self, written: Written) -> None:
        """Add a piece."""
        self._places.extend((written.offset, written.size))
        self._checksums += written.sha256
        self.bytes += written.size

    def add_zeros(self, offset: int, count: int) -> None:
        """Add zeros, in pieces of at most PIECE bytes."""
        for start in range(offset, offset + count, PIECE):
            size = min(PIECE, offset + count - start)
            if size not in self._zeros:
                self._zeros[size] = sha256(bytes(size))
            self.add(Written(start, size, self._zeros[size]))

    def __iter__(self) -> Iterator[Written]:
        for number in range(len(self._places) // 2):
            offset, size = self._places[2 * number : 2 * number + 2]
            checksum = self._checksums[number * _SIZE : (number + 1) * _SIZE]
            yield Written(offset, size, bytes(checksum))
