"""Reads GUID partition tables (UEFI specification 2.10, 5.3), whatever is wrong with them."""

from __future__ import annotations

from efi_image.formats.gpt.structures import PRIMARY_LBA, SECTOR_SIZES, Gpt, GptCopy
from efi_image.io.medium import Medium


def _read_copy(medium: Medium, lba: int, sector_size: int) -> GptCopy | None:
    sector = medium.peek(lba * sector_size, sector_size)
    return GptCopy.unpack(sector, lba, sector_size, medium.read)


def read_gpt(medium: Medium, sector_size: int | None = None) -> Gpt | None:
    """The table of a disk, or None if it has none; the sector size (bytes) is found if not given.

    The backup is looked for in the last sector, and where the primary header says. Raises
    InputError if the medium itself cannot be read.
    """
    for size in (sector_size,) if sector_size else SECTOR_SIZES:
        primary = _read_copy(medium, PRIMARY_LBA, size)
        last = medium.size // size - 1
        backup = _read_copy(medium, last, size) if last > 1 else None
        if backup is None and primary and 1 < primary.header.alternate_lba < last:
            backup = _read_copy(medium, primary.header.alternate_lba, size)
        if primary or backup:
            return Gpt(size, primary, backup)
    return None
