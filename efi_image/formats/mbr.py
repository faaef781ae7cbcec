"""Master boot records: UEFI specification 2.10, 5.2; extended partitions as DOS has them.

An MBR is a disk's own partition table, or protects a GUID partition table from tools that do
not know it (5.2.3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from efi_image.errors import InputError
from efi_image.io.medium import Medium

SIZE = 512  # bytes of the record, whatever the sector size
DISK_SIGNATURE_OFFSET = 440
TABLE_OFFSET = 446
RECORD_SIZE = 16
MAX_PRIMARY = 4
MAX_LOGICAL = 128
MAX_SECTORS = 0xFFFFFFFF
SIGNATURE = b"\x55\xaa"

ACTIVE = 0x80  # BootIndicator
PROTECTIVE = 0xEE  # OSType
ESP = 0xEF
EXTENDED = frozenset({0x05, 0x0F, 0x85})
TYPE_NAMES = {
    0x01: "FAT12", 0x04: "FAT16 (small)", 0x05: "extended", 0x06: "FAT16", 0x07: "NTFS or exFAT",
    0x0B: "FAT32", 0x0C: "FAT32 (LBA)", 0x0E: "FAT16 (LBA)", 0x0F: "extended (LBA)",
    0x17: "hidden NTFS", 0x82: "Linux swap", 0x83: "Linux", 0x85: "Linux extended",
    0x8E: "Linux LVM", 0xA5: "FreeBSD", 0xA6: "OpenBSD", 0xAF: "Apple HFS", 0xCD: "ISO 9660",
    0xEE: "GPT protective", 0xEF: "EFI system partition", 0xFD: "Linux RAID",
}  # fmt: skip

HEADS = 255
SECTORS_PER_TRACK = 63
LAST_CYLINDER = 1023

_NEXT_BOOT_DEVICE = b"\xcd\x18\xeb\xfe"  # code: int 0x18 makes the BIOS try the next device
_RECORD = struct.Struct("<B3sB3sII")


@dataclass(frozen=True, slots=True)
class PartitionRecord:
    """A partition record (table 5-2); `number` counts from 1, logical partitions from 5.

    `first_lba` is relative in an extended partition's record, and absolute everywhere else.
    """

    os_type: int
    first_lba: int
    sectors: int
    boot_indicator: int = 0
    starting_chs: bytes = bytes(3)
    ending_chs: bytes = bytes(3)
    number: int = 0

    @classmethod
    def create(cls, os_type: int, first_lba: int, sectors: int) -> PartitionRecord:
        """A record with the CHS addresses that belong to its sectors."""
        last = first_lba + sectors - 1
        return cls(os_type, first_lba, sectors, 0, chs(first_lba), chs(last))

    @classmethod
    def unpack(cls, data: bytes, number: int = 0) -> PartitionRecord:
        """The record in 16 bytes."""
        indicator, starting, os_type, ending, first, sectors = _RECORD.unpack(data)
        return cls(os_type, first, sectors, indicator, starting, ending, number)

    def pack(self) -> bytes:
        """The record's 16 bytes."""
        return _RECORD.pack(
            self.boot_indicator,
            self.starting_chs,
            self.os_type,
            self.ending_chs,
            self.first_lba,
            self.sectors,
        )

    @property
    def active(self) -> bool:
        """Whether a BIOS boots it."""
        return self.boot_indicator == ACTIVE

    @property
    def type_name(self) -> str:
        """The type in words."""
        return TYPE_NAMES.get(self.os_type, f"type 0x{self.os_type:02x}")

    @property
    def is_extended(self) -> bool:
        """Whether it only contains logical partitions."""
        return self.os_type in EXTENDED


@dataclass(frozen=True, slots=True)
class Mbr:
    """An MBR with the records in use; `fault` says why logical partitions may be missing."""

    disk_signature: int
    primary: tuple[PartitionRecord, ...]
    logical: tuple[PartitionRecord, ...] = ()
    fault: str = ""

    @property
    def is_protective(self) -> bool:
        """Whether it protects a GUID partition table."""
        return any(record.os_type == PROTECTIVE for record in self.primary)

    def overrides_gpt(self, disk_size: int) -> bool:
        """Whether firmware uses these partitions and no GPT (UEFI 2.10, 5.2.3 and 13.3).

        That is so without a protective partition, if no record ends beyond the disk.
        """
        ends = [record.first_lba + record.sectors for record in self.primary]
        return bool(ends) and not self.is_protective and max(ends) * 512 <= disk_size

    @property
    def partitions(self) -> tuple[PartitionRecord, ...]:
        """The partitions that can have a volume."""
        return tuple(p for p in (*self.primary, *self.logical) if not p.is_extended)

    def pack(self, code: bytes = _NEXT_BOOT_DEVICE) -> bytes:
        """The first 512 bytes of a disk, with the primary partitions in their order."""
        records = b"".join(record.pack() for record in self.primary)
        head = code.ljust(DISK_SIGNATURE_OFFSET, b"\0") + struct.pack("<IH", self.disk_signature, 0)
        return head + records.ljust(MAX_PRIMARY * RECORD_SIZE, b"\0") + SIGNATURE


def chs(lba: int) -> bytes:
    """The CHS address of an LBA with 255 heads; beyond the last address, that one."""
    cylinder, rest = divmod(lba, HEADS * SECTORS_PER_TRACK)
    head, sector = divmod(rest, SECTORS_PER_TRACK)
    if cylinder > LAST_CYLINDER:
        cylinder, head, sector = LAST_CYLINDER, HEADS - 1, SECTORS_PER_TRACK - 1
    return bytes((head, sector + 1 | cylinder >> 2 & 0xC0, cylinder & 0xFF))


def protective_mbr(sectors: int) -> bytes:
    """The MBR before a GPT: one partition over a disk of that many sectors (5.2.3)."""
    size = min(sectors - 1, MAX_SECTORS)
    record = PartitionRecord(PROTECTIVE, 1, size, 0, b"\x00\x02\x00", b"\xff\xff\xff")
    return Mbr(0, (record,)).pack(code=b"")


def unpack_records(sector: bytes) -> list[PartitionRecord]:
    """The four records of a boot record, unused ones too.

    Raises InputError if the signature is missing.
    """
    if len(sector) < SIZE or sector[SIZE - 2 : SIZE] != SIGNATURE:
        raise InputError("is not a boot record: the signature 55 AA is missing")
    offsets = range(TABLE_OFFSET, TABLE_OFFSET + MAX_PRIMARY * RECORD_SIZE, RECORD_SIZE)
    return [
        PartitionRecord.unpack(sector[offset : offset + RECORD_SIZE], number)
        for number, offset in enumerate(offsets, 1)
    ]


def read_mbr(medium: Medium, sector_size: int = 512) -> Mbr:
    """The MBR of a disk, with its logical partitions; raises InputError if there is none."""
    sector = medium.peek(0, SIZE)
    used = tuple(row for row in unpack_records(sector) if row.os_type and row.sectors)
    signature = int.from_bytes(sector[DISK_SIGNATURE_OFFSET:][:4], "little")
    logical: list[PartitionRecord] = []
    fault = ""
    extended = next((row for row in used if row.is_extended), None)
    if extended:
        try:
            logical.extend(_logical(medium, extended, sector_size))
        except InputError as error:
            fault = error.what
    return Mbr(signature, used, tuple(logical), fault)


def _logical(
    medium: Medium, extended: PartitionRecord, sector_size: int
) -> Iterator[PartitionRecord]:
    """The logical partitions, as far as the chain of extended boot records can be followed."""
    lba = extended.first_lba
    seen = set()
    for number in range(MAX_PRIMARY + 1, MAX_PRIMARY + 1 + MAX_LOGICAL):
        if lba in seen:
            raise InputError("the chain of logical partitions leads back into itself")
        seen.add(lba)
        own, following = unpack_records(medium.read(lba * sector_size, SIZE))[:2]
        if own.os_type and own.sectors:
            yield replace(own, number=number, first_lba=lba + own.first_lba)
        if not following.is_extended:
            return
        lba = extended.first_lba + following.first_lba
    raise InputError(f"there are more than {MAX_LOGICAL} logical partitions")
