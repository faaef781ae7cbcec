"""Makes an ISO 9660 file system whose El Torito boot image is the EFI system partition.

It is between a disk's GUID partition table and its first partition, so that the same image
boots from optical media, by El Torito, and from any other disk, by its table. The file system
has two files: the boot catalog and the FAT volume. UEFI specification 2.10, 13.3.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from efi_image.errors import DoesNotFitError
from efi_image.formats.iso9660 import structures as iso
from efi_image.formats.iso9660.structures import SECTOR, DirectoryRecord

CATALOG, PATH_TABLE_L, PATH_TABLE_M, ROOT = range(
    iso.FIRST_DESCRIPTOR + 3, iso.FIRST_DESCRIPTOR + 7
)
END = ROOT + 1  # the sector behind the file system's own
MAX_EXTENT = (1 << 32) - SECTOR  # bytes; a larger file has several extents
IMAGE_NAME = b"EFI.IMG;1"
CATALOG_NAME = b"BOOT.CAT;1"
APPLICATION = "ZPP-IMAGE"

_D_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def pack_file_system(*, size: int, start: int, volume: int, label: str, seconds: int) -> bytes:
    """The sectors FIRST_DESCRIPTOR to END of an image whose FAT volume begins at byte `start`.

    `size` (of the image) and `volume` are in bytes; `size` and `start` are multiples of SECTOR.
    `seconds` since 1970 are the date of everything. Raises DoesNotFitError if the volume is too
    large.
    """
    date = iso.record_date(seconds)
    root = b"".join(_root(start, volume, date))
    name = "".join(c if c in _D_CHARACTERS else "_" for c in label)
    own = DirectoryRecord(iso.ROOT_NAME, ROOT, SECTOR, iso.DIRECTORY, date)
    primary = iso.VolumeDescriptor(name, size // SECTOR, own)
    tables = PATH_TABLE_L, PATH_TABLE_M
    count = volume // iso.EL_TORITO_SECTOR
    if count >= 1 << 16:
        count = 0  # to the end of the file system
    parts = (
        primary.pack(tables, APPLICATION, iso.descriptor_date(seconds)),
        iso.pack_boot_record(CATALOG),
        iso.pack_terminator(),
        iso.pack_catalog(iso.BootEntry(iso.PLATFORM_EFI, True, 0, count, start // SECTOR)),
        iso.pack_path_table(ROOT, "<"),
        iso.pack_path_table(ROOT, ">"),
        root,
    )
    return b"".join(part.ljust(SECTOR, b"\0") for part in parts)


def _root(start: int, volume: int, date: bytes) -> Iterator[bytes]:
    """The records of the root directory."""
    room = SECTOR
    for record in _root_records(start, volume, date):
        raw = record.pack()
        room -= len(raw)
        if room < 0:
            raise DoesNotFitError(f"an ISO image cannot have a volume of {volume} bytes")
        yield raw


def _root_records(start: int, volume: int, date: bytes) -> Iterator[DirectoryRecord]:
    yield DirectoryRecord(iso.ROOT_NAME, ROOT, SECTOR, iso.DIRECTORY, date)
    yield DirectoryRecord(iso.PARENT_NAME, ROOT, SECTOR, iso.DIRECTORY, date)
    yield DirectoryRecord(CATALOG_NAME, CATALOG, SECTOR, 0, date)
    for done in range(0, volume, MAX_EXTENT):
        size = min(volume - done, MAX_EXTENT)
        flags = iso.MULTI_EXTENT if done + size < volume else 0
        yield DirectoryRecord(IMAGE_NAME, (start + done) // SECTOR, size, flags, date)
