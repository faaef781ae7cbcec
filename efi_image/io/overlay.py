"""Changes to a medium in memory: reading sees them, the file below does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from efi_image.io.medium import Medium

BLOCK = 512  # bytes


@dataclass(frozen=True, slots=True)
class Overlay(Medium):
    """A medium with changed blocks, which its views share.

    `block` is the size of a block in bytes; `blocks` are the changed ones, by their byte in the
    file, in the order in which they were first changed.
    """

    block: int = BLOCK
    blocks: dict[int, bytearray] = field(default_factory=dict)

    @classmethod
    def over(cls, medium: Medium, block: int = BLOCK) -> Overlay:
        """The same medium without changes yet."""
        return cls(medium.descriptor, medium.name, medium.start, medium.size, block)

    def read(self, offset: int, size: int) -> bytes:
        """As Medium.read, with the changes."""
        data = Medium.read(self, offset, size)
        start = self.start + offset
        changed = [at for at in self._places(start, size) if at in self.blocks]
        if not changed:
            return data
        patched = bytearray(data)
        for at in changed:
            first, end = max(at, start), min(at + self.block, start + size)
            patched[first - start : end - start] = self.blocks[at][first - at : end - at]
        return bytes(patched)

    def view(self, offset: int, size: int, name: str = "") -> Overlay:
        """A part of it."""
        self._check(offset, size)
        return replace(self, start=self.start + offset, size=size, name=name or self.name)

    def put(self, offset: int, data: bytes | bytearray) -> None:
        """Change bytes; blocks that stay the same do not count as changed."""
        self._check(offset, len(data))
        start = self.start + offset
        for at in self._places(start, len(data)):
            first, end = max(at, start), min(at + self.block, start + len(data))
            new = data[first - start : end - start]
            block = self.blocks.get(at)
            if block is None:
                block = bytearray(os.pread(self.descriptor, self.block, at))
                if block[first - at : end - at] == new:
                    continue
                self.blocks[at] = block
            block[first - at : end - at] = new

    def _places(self, start: int, size: int) -> Iterator[int]:
        return iter(range(start // self.block * self.block, start + size, self.block))
