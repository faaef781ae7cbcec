"""The core's ELF image, in a file and in memory: the header is found backwards, page by page."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

PAGE = 4096
PAGES_BACK = 256  # more than any core has
_MAGIC = b"\x7fELF\x02\x01\x01"  # 64-bit, little-endian, version 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_LOAD, _NOTES = 1, 4
_EXECUTABLE = 1
_BUILD_ID = 3
_MOST_SEGMENTS = 16
_MOST_NOTES = 4096  # bytes

# Reads that many bytes at an address, or raises LookupError.
Read = Callable[[int, int], bytes]


class NoCore(Exception):
    """The core is not where it was looked for; the text says what is there instead."""


def _segments(read: Read, base: int) -> list[tuple[int, int, int, int]]:
    """Type, flags, address and size in memory of each segment of the image at `base`."""
    try:
        values = _HEADER.unpack(read(base, _HEADER.size))
        if not values[0].startswith(_MAGIC):
            raise NoCore(f"no ELF header at {base:#x}")
        offset, size, count = values[5], values[9], values[10]
        if size != _SEGMENT.size or not 0 < count <= _MOST_SEGMENTS or offset > PAGE:
            raise NoCore(f"the ELF header at {base:#x} is not a core's")
        table = read(base + offset, size * count)
    except LookupError:
        raise NoCore(f"the ELF header at {base:#x} cannot be read") from None
    return [(s[0], s[1], s[3], s[6]) for s in _SEGMENT.iter_unpack(table)]


def _build_id_in(notes: bytes) -> bytes | None:
    at = 0
    while at + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, at)
        name = at + _NOTE.size
        start = name + (name_size + 3 & ~3)
        if kind == _BUILD_ID and notes[name : name + 4] == b"GNU\0" and 0 < size <= 64:
            return notes[start : start + size]
        at = start + (size + 3 & ~3)
    return None


def build_id(read: Read, base: int) -> str:
    """The build ID of the image at `base`, in hexadecimal."""
    for kind, _, address, size in _segments(read, base):
        if kind == _NOTES and size <= _MOST_NOTES:
            try:
                found = _build_id_in(read(base + address, size))
            except LookupError:
                break
            if found:
                return found.hex()
    raise NoCore(f"the ELF image at {base:#x} has no build ID: it is not the core")


def image_size(read: Read, base: int) -> int:
    """Bytes from the header to the end of the last segment, in whole pages."""
    loads = [address + size for kind, _, address, size in _segments(read, base) if kind == _LOAD]
    return max(loads, default=0) + PAGE - 1 & ~(PAGE - 1)


def code_range(read: Read) -> tuple[int, int]:
    """Start and end of the code in the image that `read` holds at 0."""
    for kind, flags, address, size in _segments(read, 0):
        if kind == _LOAD and flags & _EXECUTABLE:
            return address, address + size
    raise NoCore("the image has no code")


def find_base(read: Read, address: int) -> int:
    """The ELF header of the image that holds `address`; NoCore if there is none below it."""
    page = address & ~(PAGE - 1)
    for base in range(page, max(page - PAGES_BACK * PAGE, -1), -PAGE):
        try:
            magic = read(base, len(_MAGIC))
        except LookupError:
            raise NoCore(_not_there(address, f"{base:#x} is not mapped")) from None
        if magic == _MAGIC:
            if address >= base + image_size(read, base):
                raise NoCore(_not_there(address, f"the image at {base:#x} ends before it"))
            return base
    raise NoCore(_not_there(address, f"no ELF header in the {PAGES_BACK} pages below it"))


def _not_there(address: int, why: str) -> str:
    return f"the instruction pointer {address:#x} is not in the core ({why})"


def file_reader(path: Path) -> Read:
    """Reads a core's ELF file, whose first segment holds headers and notes at their addresses."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoCore(f"{path} cannot be read ({error.strerror}): `make` builds it") from None

    def read(address: int, size: int) -> bytes:
        if address + size > len(data):
            raise LookupError
        return data[address : address + size]

    return read


def check_build(read: Read, base: int, file: Path) -> None:
    """NoCore unless the image at `base` was made in the build that `file` comes from."""
    symbols = file_reader(file)
    try:
        wanted = build_id(symbols, 0)
    except NoCore as error:
        raise NoCore(f"{file}: no symbols of a core ({error}): `make` builds it") from None
    found = build_id(read, base)
    if found != wanted:
        raise NoCore(
            f"the core at {base:#x} is build {found[:12]}, the symbols in {file} are build "
            f"{wanted[:12]}: boot what was built last, or take its symbols"
        )
