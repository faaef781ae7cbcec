"""The base relocations of a PE file, as EDK2 applies them when it loads a program elsewhere.

Sources: Microsoft's "PE Format", "The .reloc Section"; EDK2's BasePeCoffLib,
PeCoffLoaderRelocateImage.
"""

from __future__ import annotations

import struct

from efi_image.formats.pe.headers import PeHeader, ReadAt

MAX_SIZE = 16 << 20  # bytes of relocations that are looked at
_X64 = 0x8664
_X64_TYPES = frozenset({0, 1, 2, 3, 10})  # ABSOLUTE, HIGH, LOW, HIGHLOW, DIR64
_BLOCK = struct.Struct("<II")  # the page's address, the block's size


def relocation_fault(header: PeHeader, read_at: ReadAt) -> str:
    """The reason why EDK2 cannot apply the relocations; '' if it can, or if no section has them."""
    table = _table(header, read_at)
    position = 0
    # EDK2 compares with the address of the table's last byte
    while position < len(table) - 1:
        if len(table) - position < _BLOCK.size:
            return "they end within a block"
        page, size = _BLOCK.unpack_from(table, position)
        if size == 0:
            return f"the block at byte {position} has size 0"
        if position + size > len(table):
            return f"the block at byte {position} has {size} bytes, more than are left"
        fault = _block_fault(header, page, table[position + _BLOCK.size : position + size])
        if fault:
            return fault
        position += size
    return ""


def _block_fault(header: PeHeader, page: int, entries: bytes) -> str:
    for (entry,) in struct.iter_unpack("<H", entries[: len(entries) & ~1]):
        kind, address = entry >> 12, page + (entry & 0xFFF)
        if address >= header.size_of_image:
            return f"one is for 0x{address:x}, but the image ends at 0x{header.size_of_image:x}"
        if header.machine == _X64 and kind not in _X64_TYPES:
            return f"the one for 0x{address:x} has type {kind}, which x86-64 does not have"
    return ""


def _table(header: PeHeader, read_at: ReadAt) -> bytes:
    """The relocations as in memory, where a section is filled with zeros; b'' if unknown."""
    address, length = header.relocations
    for section in reversed(header.sections):  # the last one is loaded over the others
        within = address - section.address
        if within >= 0 and within + length <= max(section.memory_size, section.file_size):
            if length > MAX_SIZE:
                return b""
            stored = max(0, min(length, section.file_size - within))
            return read_at(section.offset + within, stored).ljust(length, b"\0")
    return b""
