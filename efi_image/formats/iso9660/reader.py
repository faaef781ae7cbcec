"""ISO 9660 volumes: Joliet and Rock Ridge names, and the El Torito boot catalogue."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from efi_image.errors import InputError
from efi_image.formats.files import Kind, Node
from efi_image.formats.iso9660.rockridge import Extras, extras
from efi_image.io.medium import Medium

SECTOR = 2048
FIRST_DESCRIPTOR = 16
MAX_DESCRIPTORS = 32
MAX_PARTS = 16  # of a file, 4 GiB each
MAX_DIRECTORY = 16 << 20  # bytes of a directory
STANDARD_ID = b"CD001"
BOOT_RECORD, PRIMARY, SUPPLEMENTARY, TERMINATOR = 0, 1, 2, 255
EL_TORITO = b"EL TORITO SPECIFICATION"
JOLIET = frozenset({b"%/@", b"%/C", b"%/E"})
DIRECTORY_FLAG, MULTI_EXTENT_FLAG = 0x02, 0x80
_RECORD = struct.Struct("<BBI4xI4x7sBBB2x2xB")
PLATFORMS = {0: "BIOS", 1: "PowerPC", 2: "Mac", 0xEF: "EFI"}


@dataclass(frozen=True, slots=True)
class Extent:
    """A file's place: its parts as (block, bytes)."""

    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class BootEntry:
    """An El Torito entry; `sectors` are of 512 bytes, `block` of 2048."""

    platform: str
    bootable: bool
    media: int
    sectors: int
    block: int


@dataclass(frozen=True)
class _Descriptor:
    """A volume descriptor's fields that are used."""

    kind: int
    label: str
    blocks: int
    root: bytes
    joliet: bool


def looks_like_iso(medium: Medium) -> bool:
    """Whether a volume descriptor is where ISO 9660 has it."""
    return medium.peek(FIRST_DESCRIPTOR * SECTOR + 1, 5) == STANDARD_ID


def _descriptors(medium: Medium) -> Iterator[tuple[int, bytes]]:
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + MAX_DESCRIPTORS):
        data = medium.peek(number * SECTOR, SECTOR)
        if len(data) < SECTOR or data[1:6] != STANDARD_ID or data[0] == TERMINATOR:
            return
        yield data[0], data


def _parse(kind: int, data: bytes) -> _Descriptor:
    joliet = kind == SUPPLEMENTARY and data[88:91] in JOLIET
    encoding = "utf-16-be" if joliet else "latin-1"
    label = data[40:72].decode(encoding, "replace").rstrip(" \0")
    blocks = int.from_bytes(data[80:84], "little")
    return _Descriptor(kind, label, blocks, data[156:190], joliet)


class _Row:
    """A directory record."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        _, _, self.block, self.size, self.stamp, self.flags, _, _, length = _RECORD.unpack_from(raw)
        self.identifier = raw[33 : 33 + length]

    @property
    def system_use(self) -> int:
        """Where the system-use area begins."""
        length = len(self.identifier)
        return 33 + length + (1 - length % 2)


class IsoVolume:
    """An ISO 9660 volume. Raises InputError if it is none.

    Rock Ridge's names are taken if there are any, else Joliet's, else the plain ones.
    """

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        found = [(kind, data) for kind, data in _descriptors(medium)]
        parsed = [_parse(kind, data) for kind, data in found if kind in (PRIMARY, SUPPLEMENTARY)]
        primary = next((d for d in parsed if d.kind == PRIMARY), None)
        if primary is None:
            raise InputError("is no ISO 9660 volume: it has no descriptor", where=medium.name)
        joliet = next((d for d in parsed if d.joliet), None)
        self._descriptor = primary
        self._skip = 0
        self.scanned = 0
        self.blocks = primary.blocks
        self._rock_ridge = self._find_rock_ridge()
        if joliet and not self._rock_ridge:
            self._descriptor = joliet
        self._catalogue = next(
            (int.from_bytes(data[71:75], "little") for kind, data in found
             if kind == BOOT_RECORD and data[7:].startswith(EL_TORITO)),
            0,
        )  # fmt: skip

    def _find_rock_ridge(self) -> bool:
        """Whether the root's own record has system-use entries (`SP`), and how many to skip."""
        try:
            raw = next(self._records(self._root_extent())).raw
        except (StopIteration, InputError):
            return False
        area = raw[34:]
        if area[:2] == b"SP" and area[2:6] == b"\x07\x01\xbe\xef":
            self._skip = area[6]
            return True
        return False

    @property
    def format(self) -> str:
        """ISO 9660, and whose names are shown."""
        if self._rock_ridge:
            return "ISO 9660 (Rock Ridge)"
        return "ISO 9660 (Joliet)" if self._descriptor.joliet else "ISO 9660"

    @property
    def label(self) -> str:
        """The volume's name."""
        return self._descriptor.label

    def _root_extent(self) -> Extent:
        _, _, block, size, *_ = _RECORD.unpack_from(self._descriptor.root.ljust(34, b"\0"))
        return Extent(((block, size),))

    @property
    def root(self) -> Node:
        """The root directory."""
        return Node("", Kind.DIRECTORY, 0, None, "", self._root_extent())

    def _records(self, extent: Extent) -> Iterator[_Row]:
        """A directory's records."""
        for block, size in extent.parts:
            if size > MAX_DIRECTORY:
                raise InputError(f"has a directory of {size} bytes", where=self.medium.name)
            for sector in range(-(-size // SECTOR)):
                data = self.medium.read(
                    (block + sector) * SECTOR, min(SECTOR, size - sector * SECTOR)
                )
                self.scanned += len(data)
                position = 0
                while position < len(data) and data[position]:
                    raw = data[position : position + data[position]]
                    if len(raw) < _RECORD.size or _RECORD.size + raw[32] > len(raw):
                        raise InputError("has a broken directory", where=self.medium.name)
                    yield _Row(raw)
                    position += data[position]

    def children(self, directory: Node) -> Iterator[Node]:
        """What a directory holds; files in several parts are put together."""
        assert isinstance(directory.place, Extent)
        parts: list[tuple[int, int]] = []
        for row in self._records(directory.place):
            if row.identifier in (b"\0", b"\1"):
                continue
            parts.append((row.block, row.size))
            if len(parts) > MAX_PARTS:
                raise InputError("has a file in too many parts", where=self.medium.name)
            if len(parts) > 1 and row.flags & DIRECTORY_FLAG:
                raise InputError("has a directory in several parts", where=self.medium.name)
            if not row.flags & MULTI_EXTENT_FLAG:
                extra = self._extras(row)
                if not extra.is_moved:
                    yield self._node(row, tuple(parts), extra)
                parts = []

    def _extras(self, row: _Row) -> Extras:
        if not self._rock_ridge:
            return Extras()
        return extras(self.medium, row.raw[row.system_use + self._skip :])

    def _node(self, row: _Row, parts: tuple[tuple[int, int], ...], extra: Extras) -> Node:
        plain = self._plain_name(row.identifier)
        is_directory = bool(row.flags & DIRECTORY_FLAG)
        kind = Kind.DIRECTORY if is_directory else Kind.LINK if extra.target else Kind.FILE
        if extra.relocated is not None:
            kind, parts = Kind.DIRECTORY, self._relocated(extra.relocated)
        size = sum(size for _, size in parts) if kind is Kind.FILE else 0
        name = (extra.name or plain).replace("/", "_").replace("\0", "")
        alias = plain if extra.name and plain != name else ""
        return Node(
            name, kind, size, _moment(row.stamp), extra.mode, Extent(parts), alias, extra.target
        )

    def _relocated(self, block: int) -> tuple[tuple[int, int], ...]:
        """A deep directory that Rock Ridge keeps elsewhere: its own first record has the size."""
        raw = self.medium.read(block * SECTOR, _RECORD.size)
        return ((block, _RECORD.unpack(raw)[3]),)

    def _plain_name(self, identifier: bytes) -> str:
        encoding = "utf-16-be" if self._descriptor.joliet else "latin-1"
        name = identifier.decode(encoding, "replace")
        base, mark, version = name.rpartition(";")
        if mark and version.isdecimal():
            name = base
        return name.removesuffix(".") or name

    def chunks(self, file: Node) -> Iterator[bytes]:
        """A file's bytes, in pieces."""
        assert isinstance(file.place, Extent)
        for block, size in file.place.parts:
            self.medium.view(block * SECTOR, size)
        for block, size in file.place.parts:
            yield from self.medium.chunks(block * SECTOR, size)

    def same_name(self, one: str, other: str) -> bool:
        """Plain and Joliet names differ by more than case; Rock Ridge's by case, too."""
        return one == other if self._rock_ridge else one.casefold() == other.casefold()

    def boot_entries(self) -> tuple[BootEntry, ...]:
        """The El Torito catalogue's entries; raises InputError if it cannot be read."""
        if not self._catalogue:
            return ()
        data = self.medium.read(self._catalogue * SECTOR, SECTOR)
        return tuple(_boot_entries(data))


def _boot_entries(data: bytes) -> Iterator[BootEntry]:
    """The entries of a boot catalogue's first block."""
    platform = data[1]
    yield _boot_entry(data[32:64], platform)
    position, last = 64, False
    while position + 32 <= len(data) and not last and data[position] in (0x90, 0x91):
        last = data[position] == 0x91
        platform = data[position + 1]
        count = int.from_bytes(data[position + 2 : position + 4], "little")
        position += 32
        while count and position + 32 <= len(data):
            yield _boot_entry(data[position : position + 32], platform)
            position += 32
            count -= 1


def _boot_entry(raw: bytes, platform: int) -> BootEntry:
    indicator, media, _, _, sectors, block = struct.unpack_from("<BBHHHI", raw)
    name = PLATFORMS.get(platform, f"platform 0x{platform:02x}")
    return BootEntry(name, indicator == 0x88, media & 15, sectors, block)


def _moment(stamp: bytes) -> datetime | None:
    """A record's seven bytes: time of a place with its offset from UTC in quarter hours."""
    year, month, day, hour, minute, second, zone = struct.unpack("<6Bb", stamp)
    try:
        at = datetime(1900 + year, month, day, hour, minute, second, tzinfo=UTC)
        return at - timedelta(minutes=15 * zone)
    except (ValueError, OverflowError):
        return None
