"""Bmap files: which blocks of an image have data, and their checksums.

There is no specification; the reference is bmaptool's BmapHelpers and BmapCreate, formats 1.3
to 2.0. Format 2.0 is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from efi_image.errors import InputError
from efi_image.io.medium import open_raw

BLOCK = 4096
CHECKSUM_TYPE = "sha256"
MAX_FILE = 64 << 20  # bytes
_CHECKSUM_TYPES = {"sha1", "sha224", "sha256", "sha384", "sha512"}
_NO_CHECKSUM = "0" * 64  # counts for the file's own checksum


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of an image from `start` to before `end`; the checksum is '' if there is none."""

    start: int
    end: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Bmap:
    """The image's size in bytes, and its ranges with data in their order.

    `name` is for messages.
    """

    name: str
    size: int
    checksum_type: str
    ranges: tuple[Range, ...]

    @property
    def mapped(self) -> int:
        """Bytes in all ranges."""
        return sum(each.end - each.start for each in self.ranges)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Where ranges begin and end."""
        for each in self.ranges:
            yield each.start, each.end

    def pack(self) -> bytes:
        """The bmap file; the ranges must begin at multiples of BLOCK."""
        text = "\n".join(self._lines()) + "\n"
        checksum = hashlib.new(self.checksum_type, text.encode("ascii")).hexdigest()
        return text.replace(_NO_CHECKSUM, checksum, 1).encode("ascii")

    def _lines(self) -> Iterator[str]:
        rows = [(r.start // BLOCK, (r.end - 1) // BLOCK, r.checksum) for r in self.ranges]
        yield '<?xml version="1.0" ?>'
        yield '<bmap version="2.0">'
        yield f"    <ImageSize> {self.size} </ImageSize>"
        yield f"    <BlockSize> {BLOCK} </BlockSize>"
        yield f"    <BlocksCount> {-(-self.size // BLOCK)} </BlocksCount>"
        blocks = sum(last - first + 1 for first, last, _ in rows)
        yield f"    <MappedBlocksCount> {blocks} </MappedBlocksCount>"
        yield f"    <ChecksumType> {self.checksum_type} </ChecksumType>"
        yield f"    <BmapFileChecksum> {_NO_CHECKSUM} </BmapFileChecksum>"
        yield "    <BlockMap>"
        for first, last, checksum in rows:
            numbers = f"{first}" if first == last else f"{first}-{last}"
            yield f'        <Range chksum="{checksum}"> {numbers} </Range>'
        yield "    </BlockMap>"
        yield "</bmap>"


# ---- writing


class BmapBuilder:
    """Collects the ranges of an image while it is written, front to back."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []
        self._start = 0
        self._end = 0  # the byte behind what the open range has hashed
        self._checksum: Any = None

    def data(self, position: int, view: memoryview) -> None:
        """Data at that byte, behind all earlier data; everything else is zeros."""
        start = position // BLOCK * BLOCK
        if self._checksum is None or start > -(-self._end // BLOCK) * BLOCK:
            self._close()
            self._start = self._end = start
            self._checksum = hashlib.new(CHECKSUM_TYPE)
        self._zeros_to(position)
        self._checksum.update(view)
        self._end += len(view)

    def _zeros_to(self, position: int) -> None:
        # less than two blocks, or the range would be closed
        self._checksum.update(bytes(position - self._end))
        self._end = position

    def _close(self, size: int | None = None) -> None:
        if self._checksum is None:
            return
        end = -(-self._end // BLOCK) * BLOCK
        self._zeros_to(end if size is None else min(end, size))
        self._ranges.append(Range(self._start, self._end, self._checksum.hexdigest()))
        self._checksum = None

    def finish(self, size: int) -> Bmap:
        """The map of an image of so many bytes."""
        self._close(size)
        return Bmap("", size, CHECKSUM_TYPE, tuple(self._ranges))


# ---- reading


def read_bmap(path: str | Path) -> Bmap:
    """Read a bmap file; raises InputError if it is not one, or damaged."""
    with open_raw(path) as medium:
        if medium.size > MAX_FILE:
            raise _bad(medium.name, f"has {medium.size} bytes; the limit is {MAX_FILE}")
        raw, name = medium.read(0, medium.size), medium.name
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:  # no bmap has one; entities can explode
        raise _bad(name, "is not a bmap file: it declares a document type")
    try:
        root = ElementTree.fromstring(raw)  # noqa: S314
    except ElementTree.ParseError as error:
        raise _bad(name, f"is not XML: {error}") from None
    version = re.fullmatch(r"([12])\.([0-9]{1,3})", root.get("version") or "")
    if root.tag != "bmap" or version is None:
        raise _bad(name, "is not a bmap file of version 1 or 2")
    number = int(version[1]), int(version[2])
    checksum_type = "sha1" if number < (1, 4) else _text(root, "ChecksumType", name)
    if checksum_type not in _CHECKSUM_TYPES:
        raise _bad(name, f"has checksums of an unknown type: {checksum_type}")
    _check_file(raw, root, "BmapFileSHA1" if number < (1, 4) else "BmapFileChecksum",
                checksum_type, name)  # fmt: skip
    size, block = _number(root, "ImageSize", name), _number(root, "BlockSize", name)
    if not block or not size:
        raise _bad(name, "has a size of 0")
    found = Bmap(name, size, checksum_type, tuple(_ranges(root, block, size, name)))
    _check_count(root, found, block)
    return found


def _check_count(root: Any, found: Bmap, block: int) -> None:
    """A map that lost ranges would leave old data where the image has its own."""
    if not found.ranges:
        raise _bad(found.name, "maps no blocks, so nothing of the image would be written")
    if root.find("MappedBlocksCount") is None:
        return
    count, wanted = -(-found.mapped // block), _number(root, "MappedBlocksCount", found.name)
    if count != wanted:
        raise _bad(found.name, f"maps {count} blocks, but its MappedBlocksCount is {wanted}")


def _bad(name: str, what: str) -> InputError:
    return InputError(what, where=name)


def _text(root: Any, tag: str, name: str) -> str:
    found = root.find(tag)
    if found is None or not (found.text or "").strip():
        raise _bad(name, f"has no {tag}")
    return str(found.text).strip()


def _number(root: Any, tag: str, name: str) -> int:
    text = _text(root, tag, name)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _bad(name, f"has no number as {tag}")
    return int(text)


def _check_file(raw: bytes, root: Any, tag: str, checksum_type: str, name: str) -> None:
    """Compare the file's own checksum, which counts as zeros itself."""
    if root.find(tag) is None:
        return
    wanted = _text(root, tag, name)
    zeroed = raw.replace(wanted.encode(), b"0" * len(wanted), 1)
    if hashlib.new(checksum_type, zeroed).hexdigest() != wanted.lower():
        raise _bad(name, "is damaged: its own checksum does not match")


def _ranges(root: Any, block: int, size: int, name: str) -> Iterator[Range]:
    before = 0
    for each in root.iterfind("BlockMap/Range"):
        words = re.fullmatch(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", (each.text or "").strip())
        if words is None:
            raise _bad(name, f"has a range of blocks '{(each.text or '').strip()[:40]}'")
        start = int(words[1]) * block
        end = min((int(words[2] or words[1]) + 1) * block, size)
        if start < before or end <= start:
            raise _bad(name, "has ranges out of order, or behind the image's end")
        before = end
        yield Range(start, end, (each.get("chksum") or each.get("sha1") or "").lower())
