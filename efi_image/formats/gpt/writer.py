"""Makes GUID partition tables: UEFI specification 2.10, 5.3."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from efi_image.formats.gpt.structures import (
    ENTRIES,
    ENTRY_SIZE,
    Gpt,
    GptCopy,
    Header,
    PartitionEntry,
    header_pair,
    sectors_of,
)
from efi_image.formats.mbr import protective_mbr


def array_sectors(sector_size: int) -> int:
    """Sectors of the entry array."""
    return sectors_of(ENTRIES * ENTRY_SIZE, sector_size)


def create(
    sectors: int, sector_size: int, disk_guid: UUID, entries: tuple[PartitionEntry, ...]
) -> Gpt:
    """The table of a disk of `sectors` sectors, with its partitions in their order."""
    in_array = array_sectors(sector_size)
    array = b"".join(entry.pack() for entry in entries).ljust(ENTRIES * ENTRY_SIZE, b"\0")
    common = Header(
        my_lba=0,
        alternate_lba=0,
        first_usable_lba=2 + in_array,
        last_usable_lba=sectors - in_array - 2,
        disk_guid=disk_guid,
        entries_lba=2,
    )
    numbered = tuple(replace(entry, number=number) for number, entry in enumerate(entries, 1))
    primary, backup = (
        GptCopy(header.my_lba, header, array, numbered, True)
        for header in header_pair(common, sectors - 1, sector_size, array)
    )
    return Gpt(sector_size, primary, backup)


def pack_primary(gpt: Gpt) -> bytes:
    """A disk's first sectors: protective MBR, header, entries."""
    assert gpt.primary
    header = gpt.primary.header
    mbr = protective_mbr(header.alternate_lba + 1).ljust(gpt.sector_size, b"\0")
    return mbr + header.pack().ljust(gpt.sector_size, b"\0") + gpt.primary.array


def pack_backup(gpt: Gpt) -> bytes:
    """A disk's last sectors, which begin where the backup's entries do: entries, header."""
    assert gpt.backup
    return gpt.backup.array + gpt.backup.header.pack().ljust(gpt.sector_size, b"\0")
