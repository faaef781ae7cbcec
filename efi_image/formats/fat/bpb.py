"""A FAT volume's boot sector and FSInfo, with their fields as they are."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from efi_image.errors import InputError
from efi_image.formats.fat import geometry as layouts
from efi_image.formats.fat.geometry import DIRECTORY_ENTRY


@dataclass(frozen=True)
class BootSector:
    """A boot sector's fields as they are, whether they make sense or not.

    Sizes in sectors but `sector_size` in bytes; the fields of FAT32 are 0 if `is_fat32_form`
    is false.
    """

    jump: bytes
    oem: bytes
    sector_size: int
    sectors_per_cluster: int
    reserved: int
    fats: int
    root_entries: int
    sectors_16: int
    media: int
    fat_sectors_16: int
    sectors_per_track: int
    heads: int
    hidden: int
    sectors_32: int
    fat_sectors_32: int
    flags: int
    version: int
    root_cluster: int
    fsinfo_sector: int
    backup_sector: int
    drive: int
    extended_signature: int
    serial: int
    label: bytes
    type_name: bytes
    signature: bytes

    @classmethod
    def parse(cls, sector: bytes) -> BootSector:
        """The fields of a sector's first 512 bytes; raises InputError if there are fewer."""
        if len(sector) < 512:
            raise InputError("a boot sector has 512 bytes")
        common = layouts.COMMON.unpack_from(sector)
        wide = common[9] == 0  # as Linux and Microsoft tell FAT32's form
        end = layouts.COMMON.size
        fat32 = layouts.FAT32_ONLY.unpack_from(sector, end) if wide else (0,) * 6
        end += layouts.FAT32_ONLY.size if wide else 0
        drive, _, extended, serial, label, type_name = layouts.IDENTITY.unpack_from(sector, end)
        identity = (drive, extended, serial, label, type_name)
        fields = (*common, *fat32, *identity, sector[510:512])
        return cls(*fields)

    @property
    def is_fat32_form(self) -> bool:
        """Whether FAT32's fields are there."""
        return self.fat_sectors_16 == 0

    @property
    def sectors(self) -> int:
        """The volume's sectors."""
        return self.sectors_16 or self.sectors_32

    @property
    def fat_sectors(self) -> int:
        """Sectors of one FAT."""
        return self.fat_sectors_16 or self.fat_sectors_32

    @property
    def root_sectors(self) -> int:
        """Sectors of the fixed root directory of FAT12 and FAT16."""
        return -(-self.root_entries * DIRECTORY_ENTRY // self.sector_size)

    @property
    def root_start(self) -> int:
        """The sector of the fixed root directory."""
        return self.reserved + self.fats * self.fat_sectors

    @property
    def data_start(self) -> int:
        """The sector of cluster 2."""
        return self.root_start + self.root_sectors

    @property
    def cluster_size(self) -> int:
        """Bytes in a cluster."""
        return self.sector_size * self.sectors_per_cluster

    @property
    def clusters(self) -> int:
        """Data clusters, as the sizes say."""
        return max(0, self.sectors - self.data_start) // self.sectors_per_cluster

    @property
    def fault(self) -> str:
        """Why no reader could find its way with these fields; '' if one could."""
        if self.sector_size not in layouts.SECTOR_SIZES:
            return f"has sectors of {self.sector_size} bytes"
        per_cluster = self.sectors_per_cluster
        if not per_cluster or per_cluster & (per_cluster - 1):
            return f"has clusters of {per_cluster} sectors"
        if not self.reserved or not self.fats or not self.fat_sectors:
            return "has no place for its FATs"
        if self.data_start >= self.sectors:
            return f"has {self.sectors} sectors, of which {self.data_start} are taken up"
        if self.clusters == 0:
            return "has no clusters"
        return ""


def looks_like_fat(sector: bytes) -> bool:
    """Whether a disk's first sector is a FAT volume's, not an MBR's."""
    if len(sector) < 512 or sector[0] not in (0xEB, 0xE9):
        return False
    boot = BootSector.parse(sector)
    return not boot.fault and (boot.media >= 0xF8 or boot.media == 0xF0)


@dataclass(frozen=True)
class FsInfo:
    """FAT32's counts; `valid` says whether all three signatures are there."""

    valid: bool
    free: int
    next_free: int

    @classmethod
    def parse(cls, sector: bytes) -> FsInfo:
        """The fields of a sector's first 512 bytes; raises InputError if there are fewer."""
        if len(sector) < 512:
            raise InputError("an FSInfo sector has 512 bytes")
        lead, struct_, free, following, trail = struct.unpack("<4s480x4sII12x4s", sector[:512])
        valid = (lead, struct_, trail) == (b"RRaA", b"rrAa", b"\0\0\x55\xaa")
        return cls(valid, free, following)
