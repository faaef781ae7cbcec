"""The structures of an ISO 9660 volume and of El Torito boot information.

ECMA-119, 4th edition: volume descriptors (8), directory and path table records (9). Joliet
specification 1. "El Torito" Bootable CD-ROM Format Specification 1.0: boot record (2.0, figure
7), boot catalog (2.1 to 2.4).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SECTOR = 2048  # a logical sector, and the logical block size of all volumes that are read
FIRST_DESCRIPTOR = 16  # the sector behind the system area
STANDARD_ID = b"CD001"
BOOT_RECORD, PRIMARY, SUPPLEMENTARY, TERMINATOR = 0, 1, 2, 255  # volume descriptor types
JOLIET_ESCAPES = frozenset({b"%/@", b"%/C", b"%/E"})
DIRECTORY, MULTI_EXTENT = 0x02, 0x80  # file flags
ROOT_NAME, PARENT_NAME = b"\0", b"\1"
NO_DATE = b"0" * 16 + b"\0"
PATH_TABLE_SIZE = 10  # bytes of a path table with the root directory alone

EL_TORITO = b"EL TORITO SPECIFICATION"
EL_TORITO_SECTOR = 512  # the unit of a boot entry's sector count
PLATFORM_EFI = 0xEF
PLATFORMS = {0: "BIOS", 1: "PowerPC", 2: "Mac", PLATFORM_EFI: "EFI"}
BOOTABLE = 0x88

_RECORD = struct.Struct("<BB8s8s7sBBB4sB")
_DESCRIPTOR = struct.Struct(
    "<B5sBB32s32s8x8s32s4s4s4s8s4s4x4s4x34s128s128s128s128s37s37s37s17s17s17s17sB"
)
_BOOT_ENTRY = struct.Struct("<BBHBxHI")
_SECTION_HEADERS, _LAST_SECTION_HEADER = (0x90, 0x91), 0x91
_LAST_SECOND = 5869583999  # of the year 2155


def both16(value: int) -> bytes:
    """A number in both byte orders (7.2.3)."""
    return struct.pack("<H", value) + struct.pack(">H", value)


def both32(value: int) -> bytes:
    """A number in both byte orders (7.3.3)."""
    return struct.pack("<I", value) + struct.pack(">I", value)


def _little(both: bytes) -> int:
    """A number in both byte orders, by the little-endian half."""
    return int.from_bytes(both[: len(both) // 2], "little")


def record_date(seconds: int) -> bytes:
    """A directory record's date (9.1.5) of seconds since 1970, UTC."""
    at = time.gmtime(min(seconds, _LAST_SECOND))
    return struct.pack("7B", at.tm_year - 1900, *at[1:6], 0)


def descriptor_date(seconds: int) -> bytes:
    """A volume descriptor's date (8.4.26.1) of seconds since 1970, UTC."""
    at = time.gmtime(min(seconds, _LAST_SECOND))
    return time.strftime("%Y%m%d%H%M%S00", at).encode("ascii") + b"\0"


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A directory record (9.1): the extent's first block and its size in bytes."""

    identifier: bytes
    block: int
    size: int
    flags: int = 0
    date: bytes = bytes(7)
    system_use: bytes = b""

    @classmethod
    def unpack(cls, raw: bytes) -> DirectoryRecord | None:
        """The record in these bytes; None if they are too few for its name."""
        if len(raw) < _RECORD.size:
            return None
        _, _, block, size, date, flags, _, _, _, length = _RECORD.unpack_from(raw)
        end = _RECORD.size + length
        if end > len(raw):
            return None
        return cls(
            raw[_RECORD.size : end], _little(block), _little(size), flags, date,
            raw[end + (end % 2) :],
        )  # fmt: skip

    def pack(self) -> bytes:
        """The record's bytes, an even number."""
        end = _RECORD.size + len(self.identifier)
        length = end + end % 2 + len(self.system_use)
        fields = _RECORD.pack(
            length, 0, both32(self.block), both32(self.size), self.date, self.flags, 0, 0,
            both16(1), len(self.identifier),
        )  # fmt: skip
        return (fields + self.identifier).ljust(end + end % 2, b"\0") + self.system_use

    @property
    def modified(self) -> datetime | None:
        """The date, in UTC; None if it is not one."""
        year, month, day, hour, minute, second, zone = struct.unpack("<6Bb", self.date)
        try:
            at = datetime(1900 + year, month, day, hour, minute, second, tzinfo=UTC)
            return at - timedelta(minutes=15 * zone)
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class VolumeDescriptor:
    """A primary or supplementary volume descriptor (8.4, 8.5); the volume has `blocks` blocks."""

    label: str
    blocks: int
    root: DirectoryRecord
    type: int = PRIMARY
    is_joliet: bool = False

    @classmethod
    def unpack(cls, data: bytes) -> VolumeDescriptor:
        """The descriptor in a sector."""
        kind, _, _, _, _, label, blocks, escapes, *_ = fields = _DESCRIPTOR.unpack_from(data)
        is_joliet = kind == SUPPLEMENTARY and escapes[:3] in JOLIET_ESCAPES
        text = label.decode("utf-16-be" if is_joliet else "latin-1", "replace").rstrip(" \0")
        _, _, block, size, *_ = _RECORD.unpack_from(fields[14])
        root = DirectoryRecord(ROOT_NAME, _little(block), _little(size), DIRECTORY)
        return cls(text, _little(blocks), root, kind, is_joliet)

    def pack(self, path_tables: tuple[int, int], application: str, date: bytes) -> bytes:
        """A primary descriptor's sector; `path_tables` are the blocks of types L and M."""
        blank = b" " * 128
        table_l, table_m = path_tables
        return _DESCRIPTOR.pack(
            PRIMARY, STANDARD_ID, 1, 0, blank[:32], self.label.encode("ascii").ljust(32),
            both32(self.blocks), b"", both16(1), both16(1), both16(SECTOR),
            both32(PATH_TABLE_SIZE), table_l.to_bytes(4, "little"), table_m.to_bytes(4, "big"),
            self.root.pack(), blank, blank, blank, application.encode("ascii").ljust(128),
            blank[:37], blank[:37], blank[:37], date, date, NO_DATE, NO_DATE, 1,
        ).ljust(SECTOR, b"\0")  # fmt: skip


def pack_terminator() -> bytes:
    """The sector of the volume descriptor set terminator (8.3)."""
    return struct.pack("<B5sB", TERMINATOR, STANDARD_ID, 1).ljust(SECTOR, b"\0")


def pack_path_table(root: int, order: str) -> bytes:
    """A path table (9.4) with the root directory alone; `order` is that of struct."""
    return struct.pack(f"{order}BBIHBB", 1, 0, root, 1, 0, 0)


# ---- El Torito


@dataclass(frozen=True, slots=True)
class BootEntry:
    """An entry of the boot catalog; `sectors` are of EL_TORITO_SECTOR bytes, `block` of SECTOR."""

    platform_id: int
    bootable: bool
    media: int
    sectors: int
    block: int

    @property
    def platform(self) -> str:
        """The platform in words."""
        return PLATFORMS.get(self.platform_id, f"platform 0x{self.platform_id:02x}")

    @property
    def fault(self) -> str:
        """The reason why firmware skips the entry, or '' (EDK2's PartitionDxe)."""
        if not self.bootable:
            return "is not bootable"
        return "" if self.block else "has block 0"

    @classmethod
    def unpack(cls, raw: bytes, platform_id: int) -> BootEntry:
        """The entry in 32 bytes."""
        indicator, media, _, _, sectors, block = _BOOT_ENTRY.unpack_from(raw)
        return cls(platform_id, indicator == BOOTABLE, media & 15, sectors, block)

    def pack(self) -> bytes:
        """The entry's 32 bytes; it emulates no drive if `media` is 0."""
        indicator = BOOTABLE if self.bootable else 0
        raw = _BOOT_ENTRY.pack(indicator, self.media, 0, 0, self.sectors, self.block)
        return raw.ljust(32, b"\0")


def pack_boot_record(catalog: int) -> bytes:
    """The sector of the boot record, which names the block of the boot catalog."""
    head = struct.pack("<B5sB64sI", BOOT_RECORD, STANDARD_ID, 1, EL_TORITO, catalog)
    return head.ljust(SECTOR, b"\0")


def catalog_block(descriptor: bytes) -> int:
    """The block of the boot catalog that a volume descriptor names; 0 if it names none."""
    if descriptor[0] != BOOT_RECORD or not descriptor[7:].startswith(EL_TORITO):
        return 0
    return int.from_bytes(descriptor[71:75], "little")


def catalog_fault(data: bytes) -> str:
    """The reason why firmware ignores a whole boot catalog, or '' (El Torito, 2.1)."""
    first, signature = data[0], data[30:32]
    if first != 1:
        return f"its first byte is {first}, not 1"
    if signature != b"\x55\xaa":
        return "its validation entry has no signature 55 AA"
    if sum(struct.unpack_from("<16H", data)) & 0xFFFF:
        return "the checksum of its validation entry is wrong"
    return ""


def pack_catalog(entry: BootEntry) -> bytes:
    """The sector of a boot catalog: the validation entry, and the only boot entry."""
    head = struct.pack("<BBH24sHH", 1, entry.platform_id, 0, b"", 0, 0xAA55)
    checksum: int = -sum(struct.unpack("<16H", head)) & 0xFFFF
    head = head[:28] + checksum.to_bytes(2, "little") + head[30:]
    return (head + entry.pack()).ljust(SECTOR, b"\0")


def unpack_catalog(data: bytes) -> Iterator[BootEntry]:
    """The entries in the first sector of a boot catalog."""
    platform = data[1]
    yield BootEntry.unpack(data[32:64], platform)
    position, header = 64, 0
    while (
        position + 32 <= len(data)
        and header != _LAST_SECTION_HEADER
        and data[position] in _SECTION_HEADERS
    ):
        header, platform = data[position], data[position + 1]
        count = int.from_bytes(data[position + 2 : position + 4], "little")
        position += 32
        while count and position + 32 <= len(data):
            yield BootEntry.unpack(data[position : position + 32], platform)
            position += 32
            count -= 1
