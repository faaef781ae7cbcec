"""Reads bmap files (formats 1.3 to 2.0): which blocks of an image hold data, and their digests."""

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

MAX_FILE = 64 << 20
_HASHES = {"sha1", "sha224", "sha256", "sha384", "sha512"}


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of an image from `start` to before `end`; the digest is '' if there is none."""

    start: int
    end: int
    digest: str


@dataclass(frozen=True, slots=True)
class Map:
    """What a bmap file says: the image's size, and its ranges with data in their order."""

    name: str
    size: int
    hash: str
    ranges: tuple[Range, ...]

    @property
    def mapped(self) -> int:
        """Bytes in all ranges."""
        return sum(each.end - each.start for each in self.ranges)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Where ranges begin and end."""
        for each in self.ranges:
            yield each.start, each.end


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


def _check_itself(raw: bytes, root: Any, version: tuple[int, int], hash_: str, name: str) -> None:
    """The file's own digest, which counts with zeros in its place."""
    tag = "BmapFileSHA1" if version < (1, 4) else "BmapFileChecksum"
    if root.find(tag) is None:
        return
    wanted = _text(root, tag, name)
    zeroed = raw.replace(wanted.encode(), b"0" * len(wanted), 1)
    if hashlib.new(hash_, zeroed).hexdigest() != wanted.lower():
        raise _bad(name, "is damaged: its own digest is another")


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


def read_bmap(path: str | Path) -> Map:
    """What a bmap file says; raises InputError."""

    with open_raw(path) as medium:
        if medium.size > MAX_FILE:
            raise _bad(medium.name, f"has {medium.size} bytes; the limit is {MAX_FILE}")
        raw, name = medium.read(0, medium.size), medium.name
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:  # no bmap has one; entities can explode
        raise _bad(name, "is no bmap file: it declares a document type")
    try:
        root = ElementTree.fromstring(raw)  # noqa: S314
    except ElementTree.ParseError as error:
        raise _bad(name, f"is no XML: {error}") from None
    version = re.fullmatch(r"([12])\.([0-9]{1,3})", root.get("version") or "")
    if root.tag != "bmap" or version is None:
        raise _bad(name, "is no bmap file of version 1 or 2")
    number = int(version[1]), int(version[2])
    hash_ = "sha1" if number < (1, 4) else _text(root, "ChecksumType", name)
    if hash_ not in _HASHES:
        raise _bad(name, f"has digests of an unknown kind: {hash_}")
    _check_itself(raw, root, number, hash_, name)
    size, block = _number(root, "ImageSize", name), _number(root, "BlockSize", name)
    if not block or not size:
        raise _bad(name, "has a size of 0")
    return Map(name, size, hash_, tuple(_ranges(root, block, size, name)))
