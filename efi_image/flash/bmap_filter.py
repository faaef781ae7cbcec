"""Passes on the blocks that a bmap file lists, and compares its checksums on the way."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from typing import Any

from efi_image.errors import InputError
from efi_image.flash.chunker import DataSink
from efi_image.formats.bmap import Bmap, Range


class BmapFilter(DataSink):
    """Passes the listed blocks of an image on to `sink`, and leaves out the rest.

    Raises InputError if a checksum differs or blocks are missing.
    """

    def __init__(self, sink: DataSink, bmap: Bmap, image: str) -> None:
        self._sink = sink
        self._map = bmap
        self._image = image
        self._starts = [each.start for each in bmap.ranges]
        self._checksum: Any = None
        self._position = 0

    def write_at(self, position: int, view: memoryview) -> None:
        """Data at that byte, not before earlier data."""
        self._position = max(self._position, position + len(view))
        while len(view):
            number = bisect_right(self._starts, position) - 1
            if number < 0 or position >= self._map.ranges[number].end:
                # in a gap: on to the next range
                if number + 1 >= len(self._starts):
                    return
                count = min(self._starts[number + 1] - position, len(view))
            else:
                found = self._map.ranges[number]
                count = min(found.end - position, len(view))
                self._pass(found, position, view[:count])
            position, view = position + count, view[count:]

    def _pass(self, found: Range, position: int, part: memoryview) -> None:
        if found.checksum:
            if position == found.start:
                self._checksum = hashlib.new(self._map.checksum_type)
            self._checksum.update(part)
        self._sink.write_at(position, part)
        if found.checksum and position + len(part) == found.end:
            if self._checksum.hexdigest() != found.checksum:
                raise InputError(
                    f"bytes {found.start} to {found.end} do not match the checksum in"
                    f" {self._map.name}",
                    where=self._image,
                    hint="the image or the bmap file is damaged, or they do not belong together",
                )
            self._checksum = None

    def finish(self) -> None:
        """Raise InputError if the image ended before the last range did."""
        if self._map.ranges and self._position < self._map.ranges[-1].end:
            raise InputError(f"is shorter than {self._map.name} says", where=self._image)
