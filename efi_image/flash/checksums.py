"""The digests of what was written, to compare with what is read back."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.flash.chunker import PIECE

DIGEST = 32


def digest(view: memoryview | bytes) -> bytes:
    """The SHA-256 of a piece."""
    return hashlib.sha256(view).digest()


@dataclass(frozen=True, slots=True)
class Written:
    """A piece that was written, and its digest."""

    offset: int
    size: int
    digest: bytes


class Ledger:
    """All pieces in the order they were written; 48 bytes of memory for each."""

    def __init__(self) -> None:
        self._places = array("Q")
        self._digests = bytearray()
        self.bytes = 0
        self._zeros: dict[int, bytes] = {}

    def add(self, written: Written) -> None:
        """This was written."""
        self._places.extend((written.offset, written.size))
        self._digests += written.digest
        self.bytes += written.size

    def add_zeros(self, offset: int, count: int) -> None:
        """Zeros were written there."""
        for start in range(offset, offset + count, PIECE):
            size = min(PIECE, offset + count - start)
            if size not in self._zeros:
                self._zeros[size] = digest(bytes(size))
            self.add(Written(start, size, self._zeros[size]))

    def __iter__(self) -> Iterator[Written]:
        for number in range(len(self._places) // 2):
            offset, size = self._places[2 * number : 2 * number + 2]
            yield Written(
                offset, size, bytes(self._digests[number * DIGEST : (number + 1) * DIGEST])
            )
