"""The headers of a PE file from its first bytes, right or wrong: nothing is refused but rubbish."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from efi_image.errors import PeError

HEAD = 1 << 16  # bytes of a file in which all headers have to be
PE32, PE32_PLUS = 0x10B, 0x20B
SECTION_SIZE = 40
MAX_DIRECTORIES = 16
EXECUTE, WRITE = 0x20000000, 0x80000000


@dataclass(frozen=True)
class Section:
    """A section's name, its place in memory and in the file, and its rights."""

    name: str
    address: int
    memory_size: int
    offset: int
    file_size: int
    flags: int

    @property
    def is_writable_code(self) -> bool:
        """Whether it can be written and executed."""
        return bool(self.flags & EXECUTE and self.flags & WRITE)


@dataclass(frozen=True)
class PeHeader:
    """What the headers say. `checksum_at`, `security_at` are offsets of those fields."""

    machine: int
    characteristics: int
    magic: int
    subsystem: int
    section_alignment: int
    image_size: int
    headers_size: int
    directories: tuple[tuple[int, int], ...]
    sections: tuple[Section, ...]
    checksum_at: int
    security_at: int

    @property
    def security(self) -> tuple[int, int]:
        """Offset and size of the attribute certificates; (0, 0) if there are none."""
        return self.directories[4] if len(self.directories) > 4 else (0, 0)

    @property
    def end(self) -> int:
        """The file's least size."""
        ends = [self.headers_size]
        ends += [s.offset + s.file_size for s in self.sections if s.file_size]
        if all(self.security):
            ends.append(sum(self.security))
        return max(ends)


def parse(head: bytes) -> PeHeader:
    """Read the headers; raises PeError if there are none."""
    try:
        return _parse(head)
    except struct.error:
        raise PeError("its headers are cut off") from None


def _parse(head: bytes) -> PeHeader:
    if head[:2] != b"MZ":
        raise PeError("it does not begin with MZ")
    (start,) = struct.unpack_from("<I", head, 0x3C)
    if head[start : start + 4] != b"PE\0\0":
        raise PeError(f"there is no PE signature at {start:#x}")
    machine, count, optional_size, characteristics = struct.unpack_from("<HH12xHH", head, start + 4)
    optional = start + 24
    (magic,) = struct.unpack_from("<H", head, optional)
    if magic not in (PE32, PE32_PLUS):
        raise PeError(f"its optional header is of kind {magic:#x}")
    section_alignment, image_size, headers_size, subsystem = struct.unpack_from(
        "<I20xII4xH", head, optional + 32
    )
    table = optional + (112 if magic == PE32_PLUS else 96)
    (number,) = struct.unpack_from("<I", head, table - 4)
    room = max(0, optional + optional_size - table) // 8
    directories = tuple(
        struct.unpack_from("<II", head, table + 8 * index)
        for index in range(min(number, room, MAX_DIRECTORIES))
    )
    return PeHeader(
        machine,
        characteristics,
        magic,
        subsystem,
        section_alignment,
        image_size,
        headers_size,
        directories,
        tuple(_section(head, optional + optional_size + SECTION_SIZE * i) for i in range(count)),
        optional + 64,
        table + 32,
    )


def _section(head: bytes, offset: int) -> Section:
    name, memory_size, address, file_size, place, flags = struct.unpack_from(
        "<8sIIII12xI", head, offset
    )
    text = name.rstrip(b"\0").decode("ascii", "backslashreplace")
    return Section(text, address, memory_size, place, file_size, flags)
