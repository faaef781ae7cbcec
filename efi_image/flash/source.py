"""Where the image that is written comes from: raw, packed, a virtual disk, or a manifest.

A source is read front to back, as often as it is asked; only a virtual disk is unpacked
into a temporary file, with holes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from efi_image.errors import InputError, ZppError
from efi_image.flash.bmap import Filter, Map
from efi_image.flash.chunker import PIECE, Copying
from efi_image.formats.compressed import unpack
from efi_image.formats.detect import disk_format_of, open_medium, stream_of
from efi_image.io.holes import data_extents
from efi_image.io.medium import Medium, open_raw
from efi_image.progress import Progress, counter

_HEAD = 512  # what tells a format


class To(Protocol):
    """Takes the data of an image, front to back."""

    def data(self, position: int, view: memoryview) -> None:
        """Data is at that position; what is not told of is zeros."""

    def fill(self, position: int, count: int, read: Callable[[memoryview], None]) -> None:
        """The same, of data that `read` puts where it is told to; at most PIECE bytes."""


class ImageSource(Protocol):
    """An image that can be read."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    @property
    def size(self) -> int | None:
        """Bytes, if that is known before it was read."""

    def feed(self, to: To, progress: Progress | None = None) -> int:
        """Give all its data; its size. Raises InputError."""

    def part(self, offset: int, count: int) -> bytes | None:
        """Some of its bytes, however long that takes; None if they cannot be had."""

    def files(self) -> list[str]:
        """Further files that it is made of."""


class _Passed(Exception):
    """All that was wanted was seen."""


class _Part(Copying):
    """Keeps a part of what it is told."""

    def __init__(self, offset: int, count: int) -> None:
        self._offset = offset
        self.found = bytearray(count)

    def data(self, position: int, view: memoryview) -> None:
        start = self._offset - position
        if start + len(self.found) <= 0:
            raise _Passed
        if start < len(view):
            wanted = view[max(start, 0) : start + len(self.found)]
            place = max(-start, 0)
            self.found[place : place + len(wanted)] = wanted


def part_of(source: ImageSource, offset: int, count: int) -> bytes | None:
    """A part of a source that is read again from its beginning."""
    wanted = _Part(offset, count)
    try:
        source.feed(wanted)
    except _Passed:
        pass
    except ZppError:
        return None
    return bytes(wanted.found)


@dataclass(frozen=True, slots=True)
class RawSource:
    """A raw image, whose holes are skipped; a bmap says which they are."""

    medium: Medium
    bmap: Map | None = None

    @property
    def name(self) -> str:
        return self.medium.name

    @property
    def size(self) -> int | None:
        return self.medium.size

    def _extents(self) -> Iterator[tuple[int, int]]:
        medium = self.medium
        end = medium.start + medium.size
        for first, last in data_extents(medium.descriptor, medium.start, end):
            yield first - medium.start, last - medium.start

    def feed(self, to: To, progress: Progress | None = None) -> int:
        extents = self.bmap.extents() if self.bmap else self._extents()
        total = self.bmap.mapped if self.bmap else sum(b - a for a, b in self._extents())
        count = counter(progress, total)
        receiver = Filter(to, self.bmap, self.name) if self.bmap else to
        for first, end in extents:
            position = first
            while position < end:
                size = min(end, (position // PIECE + 1) * PIECE) - position
                receiver.fill(position, size, partial(self._fill, position))
                position += size
                if count:
                    count(size)
        if isinstance(receiver, Filter):
            receiver.finish()
        return self.medium.size

    def _fill(self, position: int, view: memoryview) -> None:
        done = 0
        try:
            while done < len(view):
                place = self.medium.start + position + done
                count = os.preadv(self.medium.descriptor, [view[done:]], place)
                if not count:
                    raise InputError("became shorter while it was read", where=self.name)
                done += count
        except OSError as error:
            raise InputError(
                f"cannot be read at byte {position + done}: {error.strerror}", where=self.name
            ) from None

    def part(self, offset: int, count: int) -> bytes | None:
        if self.bmap:
            return part_of(self, offset, count)
        try:
            return self.medium.peek(offset, count).ljust(count, b"\0")
        except ZppError:
            return None

    def files(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class StreamSource:
    """A packed image, unpacked on the way; its size is known at the end, or from a bmap."""

    medium: Medium
    packing: str
    bmap: Map | None = None

    @property
    def name(self) -> str:
        return self.medium.name

    @property
    def size(self) -> int | None:
        return self.bmap.size if self.bmap else None

    def feed(self, to: To, progress: Progress | None = None) -> int:
        receiver = Filter(to, self.bmap, self.name) if self.bmap else to
        packed = 0

        def read(more: int) -> None:
            nonlocal packed
            packed += more

        position = 0
        for chunk in unpack(self.medium, self.packing, read):
            receiver.data(position, memoryview(chunk))
            position += len(chunk)
            if progress and packed:
                # how much there is in all is estimated from what was unpacked so far
                progress(position, max(position * self.medium.size // packed, position))
        if isinstance(receiver, Filter):
            receiver.finish()
        return position

    def part(self, offset: int, count: int) -> bytes | None:
        return part_of(self, offset, count)

    def files(self) -> list[str]:
        return []


def _first(medium: Medium, packing: str) -> bytes:
    """The first unpacked bytes."""

    found = b""
    for chunk in unpack(medium, packing):
        found += chunk
        if len(found) >= _HEAD:
            break
    return found[:_HEAD]


@contextmanager
def open_source(path: str | Path, bmap: Map | None = None) -> Iterator[ImageSource]:
    """The image in a file of any known format; raises InputError or MissingError."""
    with open_raw(path) as medium:
        head = medium.peek(0, _HEAD)
        packing = stream_of(head)
        inner = _first(medium, packing) if packing else head
        if not medium.size or (packing and not inner):
            raise InputError("is empty", where=medium.name)
        if packing and not disk_format_of(inner):
            yield StreamSource(medium, packing, bmap)
            return
    with open_medium(path) as medium:
        if bmap and bmap.size != medium.size:
            raise InputError(
                f"is of an image of {bmap.size} bytes, but this one has {medium.size}",
                where=bmap.name,
            )
        yield RawSource(medium, bmap)
