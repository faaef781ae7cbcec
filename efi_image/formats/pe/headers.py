"""The headers of a PE file, as far as UEFI's loader looks at them, valid or not.

Names and offsets are those of Microsoft's "PE Format": MS-DOS stub, COFF file header, optional
header, data directories, section table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from efi_image.errors import PeError

HEAD = 1 << 16  # bytes at a file's start that contain all headers, where only those are read
PE32, PE32_PLUS = 0x10B, 0x20B
RELOCS_STRIPPED = 0x0001  # characteristics of the file
EXECUTE, READ, WRITE = 0x20000000, 0x40000000, 0x80000000  # characteristics of a section
SECURITY, BASE_RELOCATION = 4, 5  # data directories
MAX_DIRECTORIES = 16

_PE_OFFSET_AT = 0x3C  # in the MS-DOS stub
_SIGNATURE = b"PE\0\0"
_COFF = struct.Struct("<4sHHIIIHH")
_WINDOWS_FIELDS = struct.Struct("<I20xIIIH")  # at 32: section alignment, sizes, checksum, subsystem
CHECKSUM_AT = 64  # in the optional header
_SECTION = struct.Struct("<8sIIIIIIHHI")
_DIRECTORY = struct.Struct("<II")

ReadAt = Callable[[int, int], bytes]  # (offset, count) → the bytes, fewer at the end of the file


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its place in memory and in the file, in bytes, and its characteristics."""

    name: str
    address: int
    memory_size: int
    offset: int
    file_size: int
    characteristics: int

    @property
    def is_writable_code(self) -> bool:
        """Whether it is both writable and executable."""
        return bool(self.characteristics & EXECUTE and self.characteristics & WRITE)


@dataclass(frozen=True, slots=True)
class PeHeader:
    """The fields of the headers; `directories` are pairs of address and size.

    `section_count` and `directory_count` are what the header says; there are fewer if the file
    ends within the section table, or the optional header has no room. `sections_at`,
    `checksum_at` and `security_at` are the file offsets of the section table, of the checksum
    and of the certificate table's data directory, which is None if there are too few directories.
    """

    machine: int
    characteristics: int
    magic: int
    subsystem: int
    section_alignment: int
    size_of_image: int
    size_of_headers: int
    directories: tuple[tuple[int, int], ...]
    directory_count: int
    directory_room: int
    section_count: int
    sections: tuple[Section, ...]
    sections_at: int
    checksum_at: int
    security_at: int | None

    @property
    def certificates(self) -> tuple[int, int]:
        """Offset and size of the certificate table; (0, 0) if there is none.

        It is the only data directory whose address is a file offset.
        """
        offset, size = self._directory(SECURITY)
        return (offset, size) if offset and size else (0, 0)

    @property
    def relocations(self) -> tuple[int, int]:
        """Address and size of the base relocations; (0, 0) if there are none."""
        return self._directory(BASE_RELOCATION)

    @property
    def sections_end(self) -> int:
        """The file offset behind the section table."""
        return self.sections_at + self.section_count * _SECTION.size

    @property
    def fits_directories(self) -> bool:
        """Whether the optional header has exactly the data directories that it says."""
        return (
            self.directory_count <= MAX_DIRECTORIES
            and self.directory_room == self.directory_count * _DIRECTORY.size
        )

    @property
    def end(self) -> int:
        """The smallest size in bytes of a file that has all that the headers describe."""
        ends = [s.offset + s.file_size for s in self.sections if s.file_size]
        return max(self.size_of_headers, sum(self.certificates), *ends)

    def _directory(self, number: int) -> tuple[int, int]:
        return self.directories[number] if number < len(self.directories) else (0, 0)


def is_pe(read_at: ReadAt) -> bool:
    """Whether a file starts as a PE file; a hybrid disk image may also start with MZ."""
    start = int.from_bytes(read_at(_PE_OFFSET_AT, 4), "little")
    return read_at(0, 2) == b"MZ" and read_at(start, 4) == _SIGNATURE


def read_headers(read_at: ReadAt, name: str = "") -> PeHeader:
    """Read the headers with `read_at`; `name` is for the message.

    Raises PeError if the file has no PE headers, or ends before their last fixed field.
    """
    if read_at(0, 2) != b"MZ":
        raise _not_pe("it does not start with MZ", name)
    start = int.from_bytes(read_at(_PE_OFFSET_AT, 4), "little")
    coff = read_at(start, _COFF.size)
    if coff[:4] != _SIGNATURE:
        raise _not_pe(f"there is no PE signature at byte 0x{start:x}", name)
    if len(coff) < _COFF.size:
        raise _not_pe("it ends within the COFF header", name)
    _, machine, section_count, _, _, _, optional_size, characteristics = _COFF.unpack(coff)
    start += _COFF.size
    optional = read_at(start, optional_size)
    magic = int.from_bytes(optional[:2], "little")
    if len(optional) < optional_size:
        raise _not_pe("it ends within the optional header", name)
    if magic not in (PE32, PE32_PLUS):
        raise _not_pe(f"its optional header has the magic number 0x{magic:x}", name)
    fixed_size = 112 if magic == PE32_PLUS else 96
    if optional_size < fixed_size:
        raise _not_pe(f"its optional header has only {optional_size} bytes", name)
    alignment, size_of_image, size_of_headers, _, subsystem = _WINDOWS_FIELDS.unpack_from(
        optional, 32
    )
    directories = _directories(optional, fixed_size)
    security_at = start + fixed_size + SECURITY * _DIRECTORY.size
    return PeHeader(
        machine=machine,
        characteristics=characteristics,
        magic=magic,
        subsystem=subsystem,
        section_alignment=alignment,
        size_of_image=size_of_image,
        size_of_headers=size_of_headers,
        directories=directories,
        directory_count=int.from_bytes(optional[fixed_size - 4 : fixed_size], "little"),
        directory_room=optional_size - fixed_size,
        section_count=section_count,
        sections=_sections(read_at(start + optional_size, section_count * _SECTION.size)),
        sections_at=start + optional_size,
        checksum_at=start + CHECKSUM_AT,
        security_at=security_at if len(directories) > SECURITY else None,
    )


def _not_pe(reason: str, name: str) -> PeError:
    return PeError(f"is not a PE file, or is truncated: {reason}", where=name)


def _directories(optional: bytes, fixed_size: int) -> tuple[tuple[int, int], ...]:
    count = int.from_bytes(optional[fixed_size - 4 : fixed_size], "little")
    room = (len(optional) - fixed_size) // _DIRECTORY.size
    end = fixed_size + min(count, room, MAX_DIRECTORIES) * _DIRECTORY.size
    return tuple(_DIRECTORY.iter_unpack(optional[fixed_size:end]))


def _sections(table: bytes) -> tuple[Section, ...]:
    whole = len(table) - len(table) % _SECTION.size
    return tuple(
        Section(_text(name), address, memory_size, offset, file_size, characteristics)
        for name, memory_size, address, file_size, offset, *_, characteristics
        in _SECTION.iter_unpack(table[:whole])
    )  # fmt: skip


def _text(name: bytes) -> str:
    return name.rstrip(b"\0").decode("ascii", "backslashreplace")
