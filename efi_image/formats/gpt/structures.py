"""The structures of a GUID partition table: UEFI specification 2.10, 5.3.

A table is on a disk twice, each time as a header and an array of partition entries: the
primary table begins in the second sector, the backup table ends in the last.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from efi_image.errors import InputError
from efi_image.formats.gpt.types import BY_GUID

SECTOR_SIZES = (512, 4096)
SIGNATURE = b"EFI PART"
REVISION = 0x00010000
HEADER_SIZE = 92
PRIMARY_LBA = 1
ENTRIES = 128
ENTRY_SIZE = 128
MAX_NAME = 36  # UTF-16 units
MAX_ARRAY = 4 << 20  # bytes of an entry array that are read
ALIGNMENT = 1 << 20  # bytes; what flash media and firmware like

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_TITLES = {
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


def _crc_of(header: bytes) -> int:
    """The checksum of a header, for which its own field counts as 0."""
    return zlib.crc32(header[:16] + bytes(4) + header[20:])


@dataclass(frozen=True, slots=True)
class Header:
    """A GPT header (table 5-5), with its fields as they are; LBAs count sectors.

    `more` is what follows the fields within `size` bytes; the specification has zeros there.
    """

    my_lba: int
    alternate_lba: int
    first_usable_lba: int
    last_usable_lba: int
    disk_guid: UUID
    entries_lba: int
    entry_count: int = ENTRIES
    entry_size: int = ENTRY_SIZE
    entries_crc: int = 0
    revision: int = REVISION
    size: int = HEADER_SIZE
    reserved: int = 0
    more: bytes = b""
    crc: int = 0
    crc_valid: bool = True

    @classmethod
    def unpack(cls, sector: bytes) -> Header | None:
        """The header in a sector, or None if the sector does not begin as one."""
        if len(sector) < HEADER_SIZE or not sector.startswith(SIGNATURE):
            return None
        (_, revision, size, crc, reserved, my_lba, alternate_lba, first_usable, last_usable,
         guid, entries_lba, entry_count, entry_size, entries_crc,
         ) = _HEADER.unpack_from(sector)  # fmt: skip
        valid = HEADER_SIZE <= size <= len(sector) and _crc_of(sector[:size]) == crc
        more = sector[HEADER_SIZE:size] if valid else b""
        return cls(
            my_lba, alternate_lba, first_usable, last_usable, UUID(bytes_le=guid), entries_lba,
            entry_count, entry_size, entries_crc, revision, size, reserved, more, crc, valid,
        )  # fmt: skip

    def pack(self) -> bytes:
        """The header's bytes, with the checksum that belongs to them."""
        raw = _HEADER.pack(
            SIGNATURE, self.revision, HEADER_SIZE + len(self.more), 0, self.reserved,
            self.my_lba, self.alternate_lba, self.first_usable_lba, self.last_usable_lba,
            self.disk_guid.bytes_le, self.entries_lba, self.entry_count, self.entry_size,
            self.entries_crc,
        ) + self.more  # fmt: skip
        return raw[:16] + _crc_of(raw).to_bytes(4, "little") + raw[20:]

    @property
    def array_size(self) -> int:
        """Bytes of the entry array."""
        return self.entry_count * self.entry_size


@dataclass(frozen=True, slots=True)
class PartitionEntry:
    """A partition entry in use (table 5-6); both LBAs belong to the partition.

    `name` has at most MAX_NAME UTF-16 units; `number` counts the entries from 1.
    """

    type_guid: UUID
    guid: UUID
    first_lba: int
    last_lba: int
    name: str = ""
    attributes: int = 0
    number: int = 0

    @classmethod
    def unpack(cls, data: bytes, number: int = 0) -> PartitionEntry | None:
        """The entry in these bytes, or None if it is not in use."""
        type_guid, guid, first, last, attributes, name = _ENTRY.unpack_from(data)
        if not any(type_guid):
            return None
        text = name.decode("utf-16-le", "surrogatepass").split("\0", 1)[0]
        return cls(
            UUID(bytes_le=type_guid), UUID(bytes_le=guid), first, last, text, attributes, number
        )

    def pack(self) -> bytes:
        """The entry's ENTRY_SIZE bytes."""
        return _ENTRY.pack(
            self.type_guid.bytes_le,
            self.guid.bytes_le,
            self.first_lba,
            self.last_lba,
            self.attributes,
            self.name.encode("utf-16-le", "surrogatepass"),
        )

    @property
    def sectors(self) -> int:
        """Sectors in it; 0 or less if it ends before it begins."""
        return self.last_lba - self.first_lba + 1

    @property
    def type_name(self) -> str:
        """The type in words."""
        known = BY_GUID.get(self.type_guid)
        return _TITLES.get(known.name, known.name) if known else str(self.type_guid).upper()


@dataclass(frozen=True, slots=True)
class GptCopy:
    """The primary or the backup table: a header, found at `lba`, with its entry array.

    `array` is the raw array, `entries` are those in use; both are empty if `fault` says why
    the array cannot be read.
    """

    lba: int
    header: Header
    array: bytes
    entries: tuple[PartitionEntry, ...]
    entries_crc_valid: bool
    fault: str = ""

    @classmethod
    def unpack(
        cls,
        sector: bytes,
        lba: int,
        sector_size: int,
        read: Callable[[int, int], bytes],
        limit: int = MAX_ARRAY,
    ) -> GptCopy | None:
        """The table whose header is in `sector`, or None if there is no header.

        `read` returns so many bytes of the disk from an offset; the array may have `limit` bytes.
        """
        header = Header.unpack(sector)
        if header is None:
            return None
        size, total = header.entry_size, header.array_size
        if size < ENTRY_SIZE or size % 8:
            return cls(lba, header, b"", (), False, f"entries of {size} bytes")
        if total > limit:
            fault = f"{header.entry_count} entries are more than are read"
            return cls(lba, header, b"", (), False, fault)
        try:
            array = read(header.entries_lba * sector_size, total)
        except InputError as error:
            return cls(lba, header, b"", (), False, f"the entries cannot be read: it {error.what}")
        rows = (
            PartitionEntry.unpack(array[offset : offset + ENTRY_SIZE], number)
            for number, offset in enumerate(range(0, total, size), 1)
        )
        entries = tuple(entry for entry in rows if entry)
        return cls(lba, header, array, entries, zlib.crc32(array) == header.entries_crc)

    @property
    def usable(self) -> bool:
        """Whether both checksums are valid."""
        return self.header.crc_valid and self.entries_crc_valid and not self.fault


@dataclass(frozen=True, slots=True)
class Gpt:
    """A GUID partition table: at least one of its two copies."""

    sector_size: int
    primary: GptCopy | None
    backup: GptCopy | None

    @property
    def best(self) -> GptCopy:
        """The table to go by: the primary, unless it is damaged and the backup is not."""
        tables = [table for table in (self.primary, self.backup) if table]
        return next((table for table in tables if table.usable), tables[0])


def sectors_of(size: int, sector_size: int) -> int:
    """The sectors that so many bytes take."""
    return -(-size // sector_size)


def header_pair(
    header: Header, last_lba: int, sector_size: int, array: bytes
) -> tuple[Header, Header]:
    """The primary and the backup header of a disk that ends with sector `last_lba`.

    `header` gives the primary array's place and all that both have in common.
    """
    primary = replace(
        header, my_lba=PRIMARY_LBA, alternate_lba=last_lba, entries_crc=zlib.crc32(array)
    )
    array_lba = last_lba - sectors_of(len(array), sector_size)
    return primary, replace(
        primary, my_lba=last_lba, alternate_lba=PRIMARY_LBA, entries_lba=array_lba
    )
