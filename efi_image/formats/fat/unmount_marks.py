"""The marks of a FAT volume that a system sets while it is mounted.

Microsoft, FAT: General Overview of On-Disk Format 1.03: FAT[1], and Windows' bits in the boot
sector.
"""

from __future__ import annotations

from dataclasses import dataclass

from efi_image.formats.fat.geometry import FatType
from efi_image.formats.fat.reader import FatVolume

# bits of FAT[1] that are set while nothing is wrong
_CLEAN = {FatType.FAT12: 0, FatType.FAT16: 0x8000, FatType.FAT32: 0x08000000}
_NO_FAULT = {FatType.FAT12: 0, FatType.FAT16: 0x4000, FatType.FAT32: 0x04000000}
_STATE_AT = {FatType.FAT12: 0x25, FatType.FAT16: 0x25, FatType.FAT32: 0x41}
_DIRTY = 3


def flags_of(kind: FatType) -> int:
    """The bits of FAT[1] of a clean volume."""
    return _CLEAN[kind] | _NO_FAULT[kind]


@dataclass(frozen=True, slots=True)
class UnmountMarks:
    """Whether the boot sector and FAT[1] say that the volume was not cleanly unmounted.

    `offset` is the boot sector's byte of state, `state` its value without the marks.
    """

    boot_sector: bool
    first_fat: bool
    offset: int
    state: int

    @property
    def is_clean(self) -> bool:
        """Whether neither says so."""
        return not (self.boot_sector or self.first_fat)


def read_marks(volume: FatVolume) -> UnmountMarks:
    """The marks of a volume; raises InputError."""
    at, flags = _STATE_AT[volume.kind], flags_of(volume.kind)
    state, entry = volume.medium.read(at, 1)[0], volume.entry(1)
    is_marked = entry & flags != flags and volume.is_end(entry | flags)
    return UnmountMarks(bool(state & _DIRTY), is_marked, at, state & ~_DIRTY)
