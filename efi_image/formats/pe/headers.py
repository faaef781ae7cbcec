"""The headers of a PE file, as far as UEFI's loader looks at them.

Offsets and names are of the PE/COFF specification; what is read is bounded by the format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from efi_image.errors import PeError
from efi_image.io.source import Source

PE32 = 0x10B
PE32_PLUS = 0x20B
MAX_DIRECTORIES = 16

_DOS_HEADER = 64
_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_DIRECTORY = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class PeHeader:
    """The fields that matter; `raw_ends` are the file offsets at which sections end.

    `directories` are pairs of address and size. `sections` is the number announced;
    `raw_ends` has as many unless the file ends within the table.
    """

    machine: int
    characteristics: int
    magic: int
    subsystem: int
    size_of_image: int
    size_of_headers: int
    directories: tuple[tuple[int, int], ...]
    sections: int
    raw_ends: tuple[int, ...]


def _no_pe(source: Source, reason: str) -> PeError:
    return PeError(f"is no PE file, or a truncated one: {reason}", where=source.name)


def read_header(source: Source) -> PeHeader:
    """Read the headers; raises PeError if there are none."""
    dos = source.read_at(0, _DOS_HEADER)
    if len(dos) < _DOS_HEADER or dos[:2] != b"MZ":
        raise _no_pe(source, "no DOS header")
    start = int.from_bytes(dos[0x3C:], "little")
    coff = source.read_at(start, _COFF.size)
    if len(coff) < _COFF.size or coff[:4] != b"PE\0\0":
        raise _no_pe(source, "no PE signature")
    _, machine, sections, _, _, _, optional_size, characteristics = _COFF.unpack(coff)
    start += _COFF.size
    optional = source.read_at(start, optional_size)
    if len(optional) < optional_size:
        raise _no_pe(source, "the optional header is cut off")
    magic = int.from_bytes(optional[:2], "little")
    if magic not in (PE32, PE32_PLUS):
        raise _no_pe(source, "no optional header")
    table = 112 if magic == PE32_PLUS else 96
    if optional_size < table:
        raise _no_pe(source, "the optional header is too short")
    size_of_image, size_of_headers, _, subsystem = struct.unpack_from("<IIIH", optional, 56)
    return PeHeader(
        machine=machine,
        characteristics=characteristics,
        magic=magic,
        subsystem=subsystem,
        size_of_image=size_of_image,
        size_of_headers=size_of_headers,
        directories=_directories(optional, table),
        sections=sections,
        raw_ends=_raw_ends(source, start + optional_size, sections),
    )


def _directories(optional: bytes, table: int) -> tuple[tuple[int, int], ...]:
    announced = int.from_bytes(optional[table - 4 : table], "little")
    room = (len(optional) - table) // _DIRECTORY.size
    end = table + min(announced, room, MAX_DIRECTORIES) * _DIRECTORY.size
    return tuple(_DIRECTORY.iter_unpack(optional[table:end]))


def _raw_ends(source: Source, start: int, sections: int) -> tuple[int, ...]:
    rows = source.read_at(start, sections * _SECTION.size)
    whole = len(rows) - len(rows) % _SECTION.size
    return tuple(
        pointer + size if size else 0
        for _, _, _, size, pointer, *_ in _SECTION.iter_unpack(rows[:whole])
    )
