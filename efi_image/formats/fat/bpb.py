"""The boot sector with its BIOS parameter block, and FAT32's FSInfo sector.

Microsoft, FAT: General Overview of On-Disk Format 1.03, "Boot Sector and BPB" and "FAT32 FSInfo
Sector Structure and Backup Boot Sector"; its names of fields (BPB_..., BS_...) are given where
they differ.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from efi_image.errors import InputError
from efi_image.formats.fat.geometry import (
    BACKUP_BOOT_SECTOR,
    DIRECTORY_ENTRY,
    EXTENDED_SIGNATURE,
    FATS,
    FSINFO_SECTOR,
    HEADS,
    MEDIA,
    ROOT_CLUSTER,
    SECTOR_SIZES,
    SECTORS_PER_TRACK,
    FatType,
    Layout,
)

SIZE = 512  # bytes that have the fields, whatever the sector size
SIGNATURE = b"\x55\xaa"
UNKNOWN = 0xFFFFFFFF  # in FSInfo
MIRRORING_OFF = 0x80  # in BPB_ExtFlags; the low four bits are then the active FAT's number

_COMMON = struct.Struct("<3s8sHBHBHHBHHHII")
_FAT32_ONLY = struct.Struct("<IHHIHH12x")
_IDENTITY = struct.Struct("<BxBI11s8s")
_FSINFO = struct.Struct("<4s480x4sII12x4s")
_FSINFO_SIGNATURES = (b"RRaA", b"rrAa", b"\0\0\x55\xaa")
_NEXT_BOOT_DEVICE = b"\xcd\x18\xeb\xfe"  # code: int 0x18 makes the BIOS try the next device


@dataclass(frozen=True, slots=True)
class BootSector:
    """A boot sector's fields as they are, whether they make sense or not.

    Sizes are in sectors except `sector_size`, in bytes. FAT32's fields are 0 if
    `is_fat32_form` is false.
    """

    jump: bytes
    oem: bytes
    sector_size: int  # BytsPerSec
    sectors_per_cluster: int
    reserved: int
    fats: int
    root_entries: int
    sectors_16: int  # TotSec16
    media: int
    fat_sectors_16: int  # FATSz16
    sectors_per_track: int
    heads: int
    hidden: int
    sectors_32: int
    fat_sectors_32: int
    flags: int  # ExtFlags
    version: int
    root_cluster: int
    fsinfo_sector: int
    backup_sector: int
    drive: int
    extended_signature: int  # BootSig
    serial: int  # VolID
    label: bytes
    type_name: bytes
    signature: bytes = SIGNATURE

    @classmethod
    def create(cls, layout: Layout, hidden: int, serial: int, label: bytes) -> BootSector:
        """The boot sector of a volume that begins at the disk's sector `hidden`."""
        is_fat32 = layout.kind is FatType.FAT32
        is_small = layout.sectors < 0x10000 and not is_fat32
        return cls(
            jump=b"\xeb\x58\x90" if is_fat32 else b"\xeb\x3c\x90",
            oem=b"ZPPIMAGE",
            sector_size=layout.sector_size,
            sectors_per_cluster=layout.sectors_per_cluster,
            reserved=layout.reserved,
            fats=FATS,
            root_entries=layout.root_entries,
            sectors_16=layout.sectors if is_small else 0,
            media=MEDIA,
            fat_sectors_16=0 if is_fat32 else layout.fat_sectors,
            sectors_per_track=SECTORS_PER_TRACK,
            heads=HEADS,
            hidden=min(hidden, 0xFFFFFFFF),
            sectors_32=0 if is_small else layout.sectors,
            fat_sectors_32=layout.fat_sectors if is_fat32 else 0,
            flags=0,
            version=0,
            root_cluster=ROOT_CLUSTER,
            fsinfo_sector=FSINFO_SECTOR,
            backup_sector=BACKUP_BOOT_SECTOR,
            drive=0x80,
            extended_signature=EXTENDED_SIGNATURE,
            serial=serial,
            label=label,
            type_name=f"{layout.kind.name:8}".encode("ascii"),
        )

    @classmethod
    def unpack(cls, sector: bytes) -> BootSector:
        """The fields of a sector's first 512 bytes; raises InputError if there are fewer."""
        if len(sector) < SIZE:
            raise InputError("a boot sector has 512 bytes")
        common = _COMMON.unpack_from(sector)
        end, fat32 = _COMMON.size, (0,) * 6
        if common[9] == 0:  # FATSz16, as Linux and Microsoft tell FAT32's form
            fat32 = _FAT32_ONLY.unpack_from(sector, end)
            end += _FAT32_ONLY.size
        identity = _IDENTITY.unpack_from(sector, end)
        fields = (*common, *fat32, *identity, sector[SIZE - 2 : SIZE])
        return cls(*fields)

    def pack(self) -> bytes:
        """The boot sector's `sector_size` bytes, with code that boots the next device."""
        common = _COMMON.pack(
            self.jump, self.oem, self.sector_size, self.sectors_per_cluster, self.reserved,
            self.fats, self.root_entries, self.sectors_16, self.media, self.fat_sectors_16,
            self.sectors_per_track, self.heads, self.hidden, self.sectors_32,
        )  # fmt: skip
        fat32 = _FAT32_ONLY.pack(
            self.fat_sectors_32, self.flags, self.version, self.root_cluster, self.fsinfo_sector,
            self.backup_sector,
        ) if self.is_fat32_form else b""  # fmt: skip
        identity = _IDENTITY.pack(
            self.drive, self.extended_signature, self.serial, self.label, self.type_name
        )
        head = (common + fat32 + identity + _NEXT_BOOT_DEVICE).ljust(SIZE - 2, b"\0")
        return (head + self.signature).ljust(self.sector_size, b"\0")

    @property
    def is_fat32_form(self) -> bool:
        """Whether FAT32's fields are there."""
        return self.fat_sectors_16 == 0

    @property
    def mirrored(self) -> bool:
        """Whether all FATs are kept equal (BPB_ExtFlags bit 7)."""
        return not self.is_fat32_form or not self.flags & MIRRORING_OFF

    @property
    def active_fat(self) -> int:
        """The number of the FAT that counts: without mirroring any, else the first."""
        number = self.flags & 15
        return 0 if self.mirrored or number >= self.fats else number

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
        """Why no reader can read a volume with these fields; '' if one can."""
        if self.sector_size not in SECTOR_SIZES:
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
    """Whether a disk's first sector is a FAT volume's, not an MBR."""
    if len(sector) < SIZE or sector[0] not in (0xEB, 0xE9):
        return False
    boot = BootSector.unpack(sector)
    return not boot.fault and (boot.media >= 0xF8 or boot.media == 0xF0)


@dataclass(frozen=True, slots=True)
class FsInfo:
    """FAT32's free clusters, and where to look for the next; UNKNOWN where it is not known.

    `valid` says whether all three signatures are there.
    """

    free: int
    next_free: int
    valid: bool = True

    @classmethod
    def unpack(cls, sector: bytes) -> FsInfo:
        """The fields of a sector's first 512 bytes; raises InputError if there are fewer."""
        if len(sector) < SIZE:
            raise InputError("an FSInfo sector has 512 bytes")
        lead, structure, free, following, trail = _FSINFO.unpack_from(sector)
        return cls(free, following, (lead, structure, trail) == _FSINFO_SIGNATURES)

    def pack(self, sector_size: int) -> bytes:
        """The sector's bytes."""
        lead, structure, trail = _FSINFO_SIGNATURES
        raw = _FSINFO.pack(lead, structure, self.free, self.next_free, trail)
        return raw.ljust(sector_size, b"\0")
