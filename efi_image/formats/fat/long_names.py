"""Long names: directory entries before the 8.3 entry that they belong to.

Microsoft, FAT: General Overview of On-Disk Format 1.03, "FAT Long Directory Entries".
"""

from __future__ import annotations

import struct

UNITS_PER_ENTRY = 13  # UTF-16 units
MAX_ENTRIES = 20
ATTRIBUTE_LONG_NAME = 0x0F
LAST_LONG_ENTRY = 0x40

# LDIR_Ord, Name1, Attr, Type, Chksum, Name2, FstClusLO, Name3
_ENTRY = struct.Struct("<B10sBBB12sH4s")


def utf16_units(name: str) -> int:
    """The UTF-16 units of a name."""
    return len(name) if name.isascii() else len(name.encode("utf-16-le")) // 2


def entry_count(name: str, short: bytes) -> int:
    """How many entries the long name needs; 0 if it is the 8.3 name (11 bytes) itself."""
    if len(name) <= 12 and name.isascii():
        base, _, extension = name.partition(".")
        if f"{base:8}{extension:3}".encode("ascii") == short:
            return 0
    return -(-utf16_units(name) // UNITS_PER_ENTRY)


def checksum(short: bytes) -> int:
    """The checksum of an 8.3 name, which ties the long name to it."""
    total = 0
    for byte in short:
        total = ((total >> 1) | (total << 7 & 0x80)) + byte & 0xFF
    return total


def pack_long_name(name: str, short: bytes) -> bytes:
    """The entries of a long name, last part first; empty if none are needed."""
    count = entry_count(name, short)
    if not count:
        return b""
    text = name.encode("utf-16-le")
    size = count * UNITS_PER_ENTRY * 2
    if len(text) < size:
        text = (text + b"\0\0").ljust(size, b"\xff")
    tie = checksum(short)
    entries = []
    for number in range(count, 0, -1):
        part = text[(number - 1) * 26 : number * 26]
        order = number | (LAST_LONG_ENTRY if number == count else 0)
        entries.append(
            _ENTRY.pack(order, part[:10], ATTRIBUTE_LONG_NAME, 0, tie, part[10:22], 0, part[22:])
        )
    return b"".join(entries)


class LongName:
    """Collects the entries of a long name, and tells whether they belong to an 8.3 name."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._next = 0
        self._tie = 0
        self._count = 0  # entries since the last 8.3 name

    def add(self, raw: bytes) -> None:
        """The next entry."""
        order, first, _, _, tie, second, _, third = _ENTRY.unpack(raw)
        self._count += 1
        number = order & ~LAST_LONG_ENTRY
        if order & LAST_LONG_ENTRY and 1 <= number <= MAX_ENTRIES:
            self._parts, self._tie = [], tie
        elif not number or number != self._next or tie != self._tie:
            self._parts, self._next = [], 0
            return
        self._parts.append(first + second + third)
        self._next = number - 1

    def take(self, short: bytes) -> tuple[str, int]:
        """The long name of that 8.3 name ('' if none), and the entries that do not belong to it."""
        parts, count = self._parts, self._count
        is_whole = bool(parts) and self._next == 0 and checksum(short) == self._tie
        self._parts, self._next, self._count = [], 0, 0
        if not is_whole:
            return "", count
        units = b"".join(reversed(parts)).decode("utf-16-le", "surrogatepass")
        return units.split("\0", 1)[0], count - len(parts)
