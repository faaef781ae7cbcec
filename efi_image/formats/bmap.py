"""A bmap file: which blocks of an image hold data, as bmaptool reads it (format 2.0)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

BLOCK = 4096

_NO_SUM = "0" * 64


class BlockMap:
    """Told of an image's data as it is written, front to back; gives the bmap file at the end."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, str]] = []  # first block, last block, SHA-256
        self._first = -1
        self._done = 0  # bytes of the image that the open range has hashed
        self._digest: Any = None

    def data(self, position: int, view: memoryview) -> None:
        """Data is at that position; what is not told of is zeros."""
        block = position // BLOCK
        if self._digest is None or block * BLOCK > -(-self._done // BLOCK) * BLOCK:
            self._close()
            self._first, self._digest, self._done = block, hashlib.sha256(), block * BLOCK
        self._zeros_to(position)
        self._digest.update(view)
        self._done += len(view)

    def _zeros_to(self, position: int) -> None:
        # less than two blocks, as the range would be closed otherwise
        self._digest.update(bytes(position - self._done))
        self._done = position

    def _close(self, size: int | None = None) -> None:
        if self._digest is None:
            return
        last = (self._done - 1) // BLOCK
        end = (last + 1) * BLOCK
        self._zeros_to(end if size is None else min(end, size))
        self._ranges.append((self._first, last, self._digest.hexdigest()))
        self._digest = None

    def finish(self, size: int) -> bytes:
        """The bmap file of an image of so many bytes."""
        self._close(size)
        text = "\n".join(self._lines(size)) + "\n"
        digest = hashlib.sha256(text.encode("ascii")).hexdigest()
        return text.replace(_NO_SUM, digest, 1).encode("ascii")

    def _lines(self, size: int) -> Iterator[str]:
        mapped = sum(last - first + 1 for first, last, _ in self._ranges)
        yield '<?xml version="1.0" ?>'
        yield '<bmap version="2.0">'
        yield f"    <ImageSize> {size} </ImageSize>"
        yield f"    <BlockSize> {BLOCK} </BlockSize>"
        yield f"    <BlocksCount> {-(-size // BLOCK)} </BlocksCount>"
        yield f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>"
        yield "    <ChecksumType> sha256 </ChecksumType>"
        yield f"    <BmapFileChecksum> {_NO_SUM} </BmapFileChecksum>"
        yield "    <BlockMap>"
        for first, last, digest in self._ranges:
            blocks = f"{first}" if first == last else f"{first}-{last}"
            yield f'        <Range chksum="{digest}"> {blocks} </Range>'
        yield "    </BlockMap>"
        yield "</bmap>"
