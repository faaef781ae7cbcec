"""Fits an image's partition table to the target: its size, and its sector size.

A GPT's backup belongs into the target's last sectors, and its numbers count the target's
own sectors: UEFI specification, 5.3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from efi_image.errors import DoesNotFitError, UsageError
from efi_image.formats.gpt.table import (
    ENTRY,
    HEADER,
    HEADER_SIZE,
    MBR_RECORD,
    MBR_SIGNATURE,
    MBR_SIZE,
    MBR_TABLE,
    SIGNATURE,
)

SECTOR_SIZES = (512, 4096)
PROTECTIVE = 0xEE
_FIELDS = struct.Struct("<QQQQ16sQII")  # from the header's own LBA to the size of an entry
_FIRST = 24  # where they begin


@dataclass(frozen=True, slots=True)
class Fitted:
    """What changes: the first bytes of the target, and its last sectors from `start` on."""

    head: bytes
    start: int
    tail: bytes


@dataclass(frozen=True, slots=True)
class _Header:
    sector_size: int
    first_usable: int
    guid: bytes
    entries: int
    entry_size: int
    rows: bytes
    whole: bytes

    @property
    def end(self) -> int:
        """Where the last partition ends, in bytes."""
        ends = [row[3] + 1 for row in self.used()]
        return max(ends, default=0) * self.sector_size

    def used(self) -> list[tuple[bytes, bytes, int, int, int, bytes]]:
        size = self.entry_size
        rows = [ENTRY.unpack_from(self.rows, n * size) for n in range(self.entries)]
        return [row for row in rows if any(row[0])]


def _header(head: bytes) -> _Header | None:
    """The image's GPT, if it has a right one that can be read from its first bytes."""
    for size in SECTOR_SIZES:
        raw = head[size : size + HEADER_SIZE]
        if len(raw) < HEADER_SIZE or not raw.startswith(SIGNATURE):
            continue
        fields = HEADER.unpack(raw)
        length, crc, lba, count, entry_size = fields[2], fields[3], fields[10], *fields[11:13]
        if (
            not HEADER_SIZE <= length <= size
            or entry_size < ENTRY.size
            or count * entry_size > 1 << 15
        ):
            continue
        whole = head[size : size + length]
        rows = head[lba * size : lba * size + count * entry_size]
        right = zlib.crc32(whole[:16] + bytes(4) + whole[20:]) == crc
        if right and len(rows) == count * entry_size and zlib.crc32(rows) == fields[13]:
            return _Header(size, fields[7], fields[9], count, entry_size, rows, whole)
    return None


def check(head: bytes, sector_size: int, where: str) -> None:
    """Raise UsageError if an image with these first bytes is of no use on such a target."""
    found = _header(head)
    if sector_size == 512 or found or head[510:512] != MBR_SIGNATURE:
        return
    if _is_fat(head):
        own = int.from_bytes(head[11:13], "little")
        if own != sector_size:
            raise _other_sectors(where, f"is a FAT volume of {own}-byte sectors", sector_size)
        return
    if any(head[MBR_TABLE : MBR_TABLE + 64]) and head[MBR_TABLE + 4] != PROTECTIVE:
        raise _other_sectors(where, "has an MBR that counts 512-byte sectors", sector_size)


def _is_fat(head: bytes) -> bool:
    return head[54:57] == b"FAT" or head[82:87] == b"FAT32"


def _other_sectors(where: str, what: str, sector_size: int) -> UsageError:
    return UsageError(
        f"{what}, but the device's have {sector_size} bytes",
        where=where,
        hint=f"make it with --sector-size {sector_size}",
    )


def notes(head: bytes, sector_size: int) -> tuple[str, ...]:
    """What there is to say of an image with these first bytes on such a target."""
    found = _header(head)
    if found is None or found.sector_size == sector_size:
        return ()
    return (
        f"the partition table counts sectors of {sector_size} bytes now, but file systems made for "
        f"sectors of {found.sector_size} are as they were: firmware may read them, Linux may not; "
        f"better make the image with --sector-size {sector_size}",
    )


def fit(head: bytes, size: int, sector_size: int, where: str) -> Fitted | None:
    """The table of an image with these first bytes on a target of `size` bytes.

    None if there is no GPT. Raises DoesNotFitError or UsageError.
    """
    found = _header(head)
    if found is None:
        return None
    sectors = size // sector_size
    table = -(-len(found.rows) // sector_size)  # sectors of the entries
    last_usable = sectors - table - 2
    if found.end > (last_usable + 1) * sector_size:
        raise DoesNotFitError("has no room behind the image's partitions for a GPT", where=where)
    rows = _rows(found, sector_size, where)
    first = found.first_usable if found.sector_size == sector_size else 2 + table

    def header(own: int, other: int, entries: int) -> bytes:
        raw = bytearray(found.whole)
        fields = (
            own,
            other,
            first,
            last_usable,
            found.guid,
            entries,
            found.entries,
            found.entry_size,
        )
        _FIELDS.pack_into(raw, _FIRST, *fields)
        struct.pack_into("<I", raw, 88, zlib.crc32(rows))
        struct.pack_into("<I", raw, 16, 0)
        struct.pack_into("<I", raw, 16, zlib.crc32(raw))
        return bytes(raw).ljust(sector_size, b"\0")

    padded = rows.ljust(table * sector_size, b"\0")
    entries = int.from_bytes(found.whole[72:80], "little")
    if found.sector_size != sector_size:
        entries = 2
    start = sectors - 1 - table
    new = bytearray(head)
    if found.sector_size != sector_size:
        end = 2 * found.sector_size + len(rows)
        new[MBR_SIZE:end] = bytes(end - MBR_SIZE)
    for place, data in (
        (sector_size, header(1, sectors - 1, entries)),
        (entries * sector_size, padded if found.sector_size != sector_size else rows),
        (0, _mbr(head, sectors)),
    ):
        new[place : place + len(data)] = data
    return Fitted(bytes(new), start * sector_size, padded + header(sectors - 1, 1, start))


def _rows(found: _Header, sector_size: int, where: str) -> bytes:
    """The entries, in the target's sectors."""
    if found.sector_size == sector_size:
        return found.rows
    rows = bytearray(found.rows)
    for place in range(0, len(rows), found.entry_size):
        kind, guid, first, last, flags, name = ENTRY.unpack_from(rows, place)
        if not any(kind):
            continue
        begin, end = first * found.sector_size, (last + 1) * found.sector_size
        right = 2 * sector_size + len(rows) <= begin < end
        if not right or begin % sector_size or end % sector_size:
            raise _other_sectors(
                where, f"has a partition at byte {begin} that does not", sector_size
            )
        ENTRY.pack_into(
            rows, place, kind, guid, begin // sector_size, end // sector_size - 1, flags, name
        )
    return bytes(rows)


def _mbr(head: bytes, sectors: int) -> bytes:
    """The MBR, with its protective partition over all of the target; a hybrid one as it is."""
    mbr = bytearray(head[:MBR_SIZE])
    records = [MBR_RECORD.unpack_from(mbr, MBR_TABLE + 16 * n) for n in range(4)]
    used = [n for n, record in enumerate(records) if record[2]]
    if len(used) == 1 and records[used[0]][2] == PROTECTIVE:
        flag, begin, kind, end, lba, _ = records[used[0]]
        size = min(sectors - 1, 0xFFFFFFFF)
        MBR_RECORD.pack_into(mbr, MBR_TABLE + 16 * used[0], flag, begin, kind, end, lba, size)
    return bytes(mbr)
