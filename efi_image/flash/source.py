"""The image that is written: raw, compressed, or a virtual disk.

A source is read front to back, as often as it is asked. Only a virtual disk is unpacked into a
temporary file, with holes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from efi_image.errors import InputError, ZppError
from efi_image.flash.bmap_filter import BmapFilter
from efi_image.flash.chunker import PIECE, DataSink
from efi_image.formats.bmap import Bmap
from efi_image.formats.compressed import Compression
from efi_image.formats.decompress import decompress
from efi_image.formats.detect import HEAD, open_medium
from efi_image.formats.virtual_disk import DiskFormat
from efi_image.io.holes import data_extents
from efi_image.io.medium import Medium, open_raw
from efi_image.progress import Progress, counter


class _Complete(Exception):
    """The wanted part is complete."""


class _Part(DataSink):
    """Keeps a part of the data."""

    def __init__(self, offset: int, count: int) -> None:
        self._offset = offset
        self.found = bytearray(count)

    def write_at(self, position: int, view: memoryview) -> None:
        start = self._offset - position
        if start + len(self.found) <= 0:
            raise _Complete
        if start < len(view):
            wanted = view[max(start, 0) : start + len(self.found)]
            place = max(-start, 0)
            self.found[place : place + len(wanted)] = wanted


class ImageSource(Protocol):
    """An image that can be read."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def size(self) -> int | None:
        """Bytes; None if that is unknown before it is read."""

    @property
    def medium(self) -> Medium | None:
        """The bytes, if they can be read in any order."""
        return None

    def copy_to(self, sink: DataSink, progress: Progress | None = None) -> int:
        """Give all its data to the sink; its size in bytes. Raises InputError."""

    def part(self, offset: int, count: int) -> bytes | None:
        """Some of its bytes, from its beginning if need be; None if they cannot be read."""
        wanted = _Part(offset, count)
        try:
            self.copy_to(wanted)
        except _Complete:
            pass
        except ZppError:
            return None
        return bytes(wanted.found)

    def files(self) -> list[str]:
        """Further files that it is made of."""
        return []


@dataclass(frozen=True, slots=True)
class RawSource(ImageSource):
    """A raw image. Holes are skipped; a bmap tells where they are."""

    medium: Medium
    bmap: Bmap | None = None

    @property
    def name(self) -> str:
        return self.medium.name

    @property
    def size(self) -> int | None:
        return self.medium.size

    def copy_to(self, sink: DataSink, progress: Progress | None = None) -> int:
        total = self.bmap.mapped if self.bmap else sum(b - a for a, b in self._extents())
        count = counter(progress, total)
        with _filtered(sink, self.bmap, self.name) as to:
            for first, end in self.bmap.extents() if self.bmap else self._extents():
                position = first
                while position < end:
                    size = min(end, (position // PIECE + 1) * PIECE) - position
                    to.fill_at(position, size, partial(self._read, position))
                    position += size
                    if count:
                        count(size)
        return self.medium.size

    def _extents(self) -> Iterator[tuple[int, int]]:
        medium = self.medium
        end = medium.start + medium.size
        for first, last in data_extents(medium.descriptor, medium.start, end):
            yield first - medium.start, last - medium.start

    def _read(self, position: int, view: memoryview) -> None:
        """Fill the view from that byte."""
        try:
            while len(view):
                count = os.preadv(self.medium.descriptor, [view], self.medium.start + position)
                if not count:
                    raise InputError("became shorter while it was read", where=self.name)
                position, view = position + count, view[count:]
        except OSError as error:
            raise InputError(
                f"cannot be read at byte {position}: {error.strerror}", where=self.name
            ) from None

    def part(self, offset: int, count: int) -> bytes | None:
        if self.bmap:
            return ImageSource.part(self, offset, count)
        try:
            return self.medium.peek(offset, count).ljust(count, b"\0")
        except ZppError:
            return None


@dataclass(frozen=True, slots=True)
class StreamSource(ImageSource):
    """A compressed image, unpacked on the way; its size is known at the end, or from a bmap."""

    packed: Medium
    compression: Compression
    bmap: Bmap | None = None

    @property
    def name(self) -> str:
        return self.packed.name

    @property
    def size(self) -> int | None:
        return self.bmap.size if self.bmap else None

    def copy_to(self, sink: DataSink, progress: Progress | None = None) -> int:
        compressed = 0

        def count(more: int) -> None:
            nonlocal compressed
            compressed += more

        position = 0
        with _filtered(sink, self.bmap, self.name) as to:
            for chunk in decompress(self.packed, self.compression, count):
                to.write_at(position, memoryview(chunk))
                position += len(chunk)
                if progress and compressed:
                    # the total is an estimate from the ratio so far
                    progress(position, max(position * self.packed.size // compressed, position))
        return position


@contextmanager
def _filtered(sink: DataSink, bmap: Bmap | None, image: str) -> Iterator[DataSink]:
    """The sink, behind a filter if there is a bmap."""
    if bmap is None:
        yield sink
        return
    found = BmapFilter(sink, bmap, image)
    yield found
    found.finish()


def _first(medium: Medium, compression: Compression) -> bytes:
    """The first unpacked bytes."""
    found = b""
    for chunk in decompress(medium, compression):
        found += chunk
        if len(found) >= HEAD:
            break
    return found[:HEAD]


@contextmanager
def open_source(path: str | Path, bmap: Bmap | None = None) -> Iterator[ImageSource]:
    """The image in a file of any known format; raises InputError or MissingError."""
    with open_raw(path) as medium:
        head = medium.peek(0, HEAD)
        compression = Compression.of(head)
        inner = _first(medium, compression) if compression else head
        if not medium.size or (compression and not inner):
            raise InputError("is empty", where=medium.name)
        if compression and not DiskFormat.of(inner):
            yield StreamSource(medium, compression, bmap)
            return
    with open_medium(path) as medium:
        if bmap and bmap.size != medium.size:
            raise InputError(
                f"describes an image of {bmap.size} bytes, but {medium.name} has {medium.size}",
                where=bmap.name,
            )
        yield RawSource(medium, bmap)
