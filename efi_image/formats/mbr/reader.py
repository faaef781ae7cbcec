"""MBR partition tables, logical partitions included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.errors import InputError
from efi_image.formats.gpt.table import MBR_RECORD, MBR_SIGNATURE, MBR_SIZE, MBR_TABLE
from efi_image.io.medium import Medium

PROTECTIVE = 0xEE
ESP = 0xEF
EXTENDED = frozenset({0x05, 0x0F, 0x85})
ACTIVE = 0x80
MAX_LOGICAL = 128
PRIMARY = 4

TYPE_NAMES = {
    0x01: "FAT12", 0x04: "FAT16 (small)", 0x05: "extended", 0x06: "FAT16", 0x07: "NTFS or exFAT",
    0x0B: "FAT32", 0x0C: "FAT32 (LBA)", 0x0E: "FAT16 (LBA)", 0x0F: "extended (LBA)",
    0x17: "hidden NTFS", 0x82: "Linux swap", 0x83: "Linux", 0x85: "Linux extended",
    0x8E: "Linux LVM", 0xA5: "FreeBSD", 0xA6: "OpenBSD", 0xAF: "Apple HFS", 0xCD: "ISO 9660",
    0xEE: "GPT protective", 0xEF: "EFI system partition", 0xFD: "Linux RAID",
}  # fmt: skip


@dataclass(frozen=True)
class MbrPartition:
    """A partition record; `first` and `sectors` in sectors of the disk, CHS bytes as they are."""

    number: int
    status: int
    type: int
    first: int
    sectors: int
    chs_first: bytes
    chs_last: bytes

    @property
    def active(self) -> bool:
        """Whether a BIOS boots it."""
        return self.status == ACTIVE

    @property
    def type_name(self) -> str:
        """The type in words."""
        return TYPE_NAMES.get(self.type, f"type 0x{self.type:02x}")

    @property
    def is_extended(self) -> bool:
        """Whether it only holds logical partitions."""
        return self.type in EXTENDED


@dataclass(frozen=True)
class Mbr:
    """An MBR: its four records (unused ones left out), and the logical partitions."""

    disk_signature: int
    primary: tuple[MbrPartition, ...]
    logical: tuple[MbrPartition, ...]
    fault: str  # why logical partitions may be missing

    @property
    def is_protective(self) -> bool:
        """Whether it stands before a GUID partition table."""
        return any(partition.type == PROTECTIVE for partition in self.primary)

    @property
    def partitions(self) -> tuple[MbrPartition, ...]:
        """Those that may hold a volume."""
        return tuple(p for p in (*self.primary, *self.logical) if not p.is_extended)


def records(sector: bytes) -> list[MbrPartition]:
    """The four records of a boot record; raises InputError if it has no signature."""
    if len(sector) < MBR_SIZE or sector[MBR_SIZE - 2 : MBR_SIZE] != MBR_SIGNATURE:
        raise InputError("is no boot record: the signature 55 AA is missing")
    rows = []
    for number in range(PRIMARY):
        offset = MBR_TABLE + number * MBR_RECORD.size
        status, first_chs, kind, last_chs, first, count = MBR_RECORD.unpack_from(sector, offset)
        rows.append(MbrPartition(number + 1, status, kind, first, count, first_chs, last_chs))
    return rows


def read_mbr(medium: Medium, sector_size: int = 512) -> Mbr:
    """The partition table in the first sector; raises InputError if there is none."""
    sector = medium.peek(0, MBR_SIZE)
    used = tuple(row for row in records(sector) if row.type and row.sectors)
    signature = int.from_bytes(sector[440:444], "little")
    logical: list[MbrPartition] = []
    fault = ""
    extended = next((row for row in used if row.is_extended), None)
    if extended:
        try:
            logical.extend(_logical(medium, extended, sector_size))
        except InputError as error:
            fault = error.what
    return Mbr(signature, used, tuple(logical), fault)


def _logical(medium: Medium, extended: MbrPartition, sector_size: int) -> Iterator[MbrPartition]:
    """The logical partitions, as far as the chain of their tables can be followed."""
    place = extended.first
    seen = set()
    for number in range(PRIMARY + 1, PRIMARY + 1 + MAX_LOGICAL):
        if place in seen:
            raise InputError("the chain of logical partitions leads back into itself")
        seen.add(place)
        rows = records(medium.read(place * sector_size, MBR_SIZE))
        own = rows[0]
        if own.type and own.sectors:
            yield MbrPartition(
                number, own.status, own.type, place + own.first, own.sectors,
                own.chs_first, own.chs_last,
            )  # fmt: skip
        if not rows[1].is_extended:
            return
        place = extended.first + rows[1].first
    raise InputError(f"there are more than {MAX_LOGICAL} logical partitions")
