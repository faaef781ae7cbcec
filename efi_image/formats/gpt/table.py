"""A GUID partition table: UEFI specification, chapter 5."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

ENTRIES = 128
ENTRY_SIZE = 128
HEADER_SIZE = 92
MAX_NAME = 36  # UTF-16 units
ALIGNMENT = 1 << 20  # bytes; what flash media and firmware like
MBR_SIZE = 512
MBR_TABLE = 446  # offset of the MBR's four records
MBR_SIGNATURE = b"\x55\xaa"
SIGNATURE = b"EFI PART"

HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ72s")
MBR_RECORD = struct.Struct("<B3sB3sII")


@dataclass(frozen=True, slots=True)
class Partition:
    """An entry of the table; `name` is at most MAX_NAME UTF-16 units long."""

    type_guid: UUID
    guid: UUID
    first_lba: int
    sectors: int
    name: str = ""

    def entry(self) -> bytes:
        """The entry's bytes."""
        return ENTRY.pack(
            self.type_guid.bytes_le,
            self.guid.bytes_le,
            self.first_lba,
            self.first_lba + self.sectors - 1,
            0,
            self.name.encode("utf-16-le"),
        )


@dataclass(frozen=True, slots=True)
class Gpt:
    """The table of a disk of `sectors` sectors, with its partitions in their order."""

    sectors: int
    sector_size: int
    disk_guid: UUID
    partitions: tuple[Partition, ...]

    @property
    def entry_sectors(self) -> int:
        """Sectors of the entry array."""
        return entry_sectors(self.sector_size)

    @property
    def last_usable(self) -> int:
        """The last sector that a partition may have."""
        return self.sectors - self.entry_sectors - 2

    def primary(self) -> bytes:
        """The disk's first sectors: protective MBR, header, entries."""
        entries = self._entries()
        mbr = protective_mbr(self.sectors).ljust(self.sector_size, b"\0")
        return mbr + self._header(1, self.sectors - 1, 2, entries) + entries

    @property
    def backup_start(self) -> int:
        """The first sector of `backup`."""
        return self.sectors - 1 - self.entry_sectors

    def backup(self) -> bytes:
        """The disk's last sectors: entries, header."""
        entries = self._entries()
        return entries + self._header(self.sectors - 1, 1, self.backup_start, entries)

    def _entries(self) -> bytes:
        rows = b"".join(partition.entry() for partition in self.partitions)
        return rows.ljust(ENTRIES * ENTRY_SIZE, b"\0")

    def _header(self, own_lba: int, other_lba: int, entries_lba: int, entries: bytes) -> bytes:
        def pack(crc: int) -> bytes:
            return HEADER.pack(
                SIGNATURE,
                0x00010000,
                HEADER_SIZE,
                crc,
                0,
                own_lba,
                other_lba,
                2 + self.entry_sectors,
                self.last_usable,
                self.disk_guid.bytes_le,
                entries_lba,
                ENTRIES,
                ENTRY_SIZE,
                zlib.crc32(entries),
            )

        return pack(zlib.crc32(pack(0))).ljust(self.sector_size, b"\0")


def entry_sectors(sector_size: int) -> int:
    """Sectors of the entry array."""
    return ENTRIES * ENTRY_SIZE // sector_size


def protective_mbr(sectors: int) -> bytes:
    """The MBR that keeps tools that know no GPT away: one partition over all the disk."""
    size = min(sectors - 1, 0xFFFFFFFF)
    record = MBR_RECORD.pack(0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, size)
    return bytes(MBR_TABLE) + record + bytes(3 * MBR_RECORD.size) + MBR_SIGNATURE
