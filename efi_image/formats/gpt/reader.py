"""GUID partition tables: both headers, both entry arrays, right or wrong."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from efi_image.errors import InputError
from efi_image.formats.gpt.table import ENTRY, HEADER, HEADER_SIZE, SIGNATURE
from efi_image.formats.gpt.types import BY_GUID
from efi_image.io.medium import Medium

SECTOR_SIZES = (512, 4096)
MAX_ENTRIES_SIZE = 4 << 20  # bytes of an entry array that are read

TITLES = {
    "esp": "EFI system partition",
    "xbootldr": "extended boot loader",
    "bios-boot": "BIOS boot",
    "msdata": "basic data",
    "msr": "Microsoft reserved",
    "winre": "Windows recovery",
    "linux": "Linux",
    "swap": "Linux swap",
    "lvm": "Linux LVM",
    "raid": "Linux RAID",
    "linux-root-x86-64": "Linux root (x86-64)",
    "linux-root-arm64": "Linux root (Arm 64)",
    "hfs-plus": "Apple HFS+",
    "apfs": "Apple APFS",
}


@dataclass(frozen=True)
class Header:
    """A header's fields as they are, where it was read, and whether its checksum is right."""

    at_lba: int
    revision: int
    size: int
    crc: int
    reserved: int
    own_lba: int
    other_lba: int
    first_usable: int
    last_usable: int
    disk_guid: UUID
    entries_lba: int
    entries: int
    entry_size: int
    entries_crc: int
    crc_right: bool


@dataclass(frozen=True)
class Entry:
    """A partition entry in use; LBAs in sectors, both included."""

    number: int
    type: UUID
    guid: UUID
    first_lba: int
    last_lba: int
    attributes: int
    name: str

    @property
    def sectors(self) -> int:
        """Sectors in it; 0 or less if it ends before it begins."""
        return self.last_lba - self.first_lba + 1

    @property
    def type_name(self) -> str:
        """The type in words."""
        known = BY_GUID.get(self.type)
        return TITLES.get(known.name, known.name) if known else str(self.type).upper()


@dataclass(frozen=True)
class Half:
    """One of the two headers with its entry array; `fault` says why there are no entries."""

    header: Header
    entries: tuple[Entry, ...]
    entries_crc_right: bool
    fault: str

    @property
    def usable(self) -> bool:
        """Whether both checksums are right."""
        return self.header.crc_right and self.entries_crc_right and not self.fault


@dataclass(frozen=True)
class Table:
    """What there is of a GUID partition table; at least one half."""

    sector_size: int
    primary: Half | None
    backup: Half | None

    @property
    def best(self) -> Half:
        """The half to go by: the primary, unless it is damaged and the backup is not."""
        halves = [half for half in (self.primary, self.backup) if half]
        return next((half for half in halves if half.usable), halves[0])


def parse_header(sector: bytes, at_lba: int) -> Header | None:
    """A header's fields, or None if the sector does not begin as one."""
    if len(sector) < HEADER_SIZE or not sector.startswith(SIGNATURE):
        return None
    (_, revision, size, crc, reserved, own, other, first, last, guid, entries_lba, count,
     entry_size, entries_crc) = HEADER.unpack_from(sector)  # fmt: skip
    right = False
    if HEADER_SIZE <= size <= len(sector):
        right = zlib.crc32(sector[:16] + bytes(4) + sector[20:size]) == crc
    return Header(
        at_lba, revision, size, crc, reserved, own, other, first, last,
        UUID(bytes_le=guid), entries_lba, count, entry_size, entries_crc, right,
    )  # fmt: skip


def _entries(data: bytes, size: int) -> Iterator[Entry]:
    for number, offset in enumerate(range(0, len(data) - size + 1, size), 1):
        kind, guid, first, last, attributes, name = ENTRY.unpack_from(data, offset)
        if any(kind):
            yield Entry(
                number,
                UUID(bytes_le=kind),
                UUID(bytes_le=guid),
                first,
                last,
                attributes,
                name.decode("utf-16-le", "surrogatepass").split("\0", 1)[0],
            )


def _half(medium: Medium, header: Header, sector_size: int) -> Half:
    size = header.entry_size
    total = header.entries * size
    if size < ENTRY.size or size % 8:
        return Half(header, (), False, f"entries of {size} bytes")
    if total > MAX_ENTRIES_SIZE:
        return Half(header, (), False, f"{header.entries} entries are more than are read")
    try:
        data = medium.read(header.entries_lba * sector_size, total)
    except InputError as error:
        return Half(header, (), False, f"the entries cannot be read: it {error.what}")
    right = zlib.crc32(data) == header.entries_crc
    return Half(header, tuple(_entries(data, size)), right, "")


def _read_half(medium: Medium, lba: int, sector_size: int) -> Half | None:
    header = parse_header(medium.peek(lba * sector_size, sector_size), lba)
    return _half(medium, header, sector_size) if header else None


def read_gpt(medium: Medium, sector_size: int | None = None) -> Table | None:
    """The table of a disk, or None if it has none; the sector size is found if not given.

    The backup is looked for at the last sector, and where the primary header says.
    """
    for size in (sector_size,) if sector_size else SECTOR_SIZES:
        primary = _read_half(medium, 1, size)
        last = medium.size // size - 1
        backup = _read_half(medium, last, size) if last > 1 else None
        if backup is None and primary and 1 < primary.header.other_lba < last:
            backup = _read_half(medium, primary.header.other_lba, size)
        if primary or backup:
            return Table(size, primary, backup)
    return None
