"""Reads ISO 9660 volumes (ECMA-119) with Joliet or Rock Ridge names, and El Torito entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.errors import InputError
from efi_image.formats.fat.names import fold
from efi_image.formats.files import Kind, Node
from efi_image.formats.iso9660 import structures as iso
from efi_image.formats.iso9660.rockridge import Extras, extras
from efi_image.formats.iso9660.structures import SECTOR, DirectoryRecord, VolumeDescriptor
from efi_image.io.medium import Medium

MAX_DESCRIPTORS = 32
UDF_UNREAD = "it also has UDF, which zpp-image does not read; mount it to see all files"
MAX_EXTENTS = 16  # of a file, 4 GiB each
MAX_DIRECTORY = 16 << 20  # bytes of a directory
UDF = (b"NSR02", b"NSR03")
OWN_RECORD = 34  # bytes of a directory's record of itself


@dataclass(frozen=True, slots=True)
class Extents:
    """The extents of a file or directory, as (block, bytes)."""

    parts: tuple[tuple[int, int], ...]


def looks_like_iso(medium: Medium) -> bool:
    """Whether a volume descriptor is where ISO 9660 has it."""
    return medium.peek(iso.FIRST_DESCRIPTOR * SECTOR + 1, 5) == iso.STANDARD_ID


def _descriptors(medium: Medium) -> Iterator[bytes]:
    for number in range(iso.FIRST_DESCRIPTOR, iso.FIRST_DESCRIPTOR + MAX_DESCRIPTORS):
        data = medium.peek(number * SECTOR, SECTOR)
        if len(data) < SECTOR or data[1:6] != iso.STANDARD_ID or data[0] == iso.TERMINATOR:
            return
        yield data


def _has_udf(medium: Medium, descriptors: int) -> bool:
    """Whether UDF's recognition sequence follows the descriptors (ECMA-167, part 2, 8 and 9)."""
    first = iso.FIRST_DESCRIPTOR + descriptors
    for number in range(first, first + MAX_DESCRIPTORS):
        identifier = medium.peek(number * SECTOR + 1, 5)
        if identifier in UDF:
            return True
        if identifier not in (iso.STANDARD_ID, b"BEA01"):
            return False
    return False


class IsoVolume:
    """An ISO 9660 volume; raises InputError if it is not one.

    Rock Ridge's names are taken if there are any, else Joliet's, else the plain ones.
    """

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        found = list(_descriptors(medium))
        volumes = [
            VolumeDescriptor.unpack(d) for d in found if d[0] in (iso.PRIMARY, iso.SUPPLEMENTARY)
        ]
        primary = next((each for each in volumes if each.type == iso.PRIMARY), None)
        if primary is None:
            raise InputError(
                "is not an ISO 9660 volume: it has no primary descriptor", where=medium.name
            )
        joliet = next((each for each in volumes if each.is_joliet), None)
        self._descriptor = primary
        self._skip = 0
        self.scanned = 0
        self.blocks = primary.blocks
        self._rock_ridge = self._find_rock_ridge()
        if joliet and not self._rock_ridge:
            self._descriptor = joliet
        self.unread = UDF_UNREAD if _has_udf(medium, len(found)) else ""
        self._catalog = next(filter(None, map(iso.catalog_block, found)), 0)

    def _find_rock_ridge(self) -> bool:
        """Whether the root's own record has system-use entries (`SP`), and how many to skip."""
        try:
            area = next(self._records(self._root_extents())).system_use
        except (StopIteration, InputError):
            return False
        if area[:2] == b"SP" and area[2:6] == b"\x07\x01\xbe\xef":
            self._skip = area[6]
            return True
        return False

    @property
    def format(self) -> str:
        """ISO 9660, and whose names are shown."""
        if self._rock_ridge:
            return "ISO 9660 (Rock Ridge)"
        return "ISO 9660 (Joliet)" if self._descriptor.is_joliet else "ISO 9660"

    @property
    def label(self) -> str:
        """The volume's name."""
        return self._descriptor.label

    def _root_extents(self) -> Extents:
        root = self._descriptor.root
        return Extents(((root.block, root.size),))

    @property
    def root(self) -> Node:
        """The root directory."""
        return Node("", Kind.DIRECTORY, 0, None, "", self._root_extents())

    def _records(self, extents: Extents) -> Iterator[DirectoryRecord]:
        """A directory's records."""
        for block, size in extents.parts:
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
                    yield self._unpacked(raw)
                    position += data[position]

    def _unpacked(self, raw: bytes) -> DirectoryRecord:
        record = DirectoryRecord.unpack(raw)
        if record is None:
            raise InputError("has a broken directory", where=self.medium.name)
        return record

    def children(self, directory: Node) -> Iterator[Node]:
        """The children of a directory; files in several extents are put together."""
        assert isinstance(directory.place, Extents)
        parts: list[tuple[int, int]] = []
        for record in self._records(directory.place):
            if record.identifier in (iso.ROOT_NAME, iso.PARENT_NAME):
                continue
            parts.append((record.block, record.size))
            if len(parts) > MAX_EXTENTS:
                raise InputError("has a file in too many extents", where=self.medium.name)
            if len(parts) > 1 and record.flags & iso.DIRECTORY:
                raise InputError("has a directory in several extents", where=self.medium.name)
            if not record.flags & iso.MULTI_EXTENT:
                extra = self._extras(record)
                if not extra.is_moved:
                    yield self._node(record, tuple(parts), extra)
                parts = []

    def _extras(self, record: DirectoryRecord) -> Extras:
        if not self._rock_ridge:
            return Extras()
        return extras(self.medium, record.system_use[self._skip :])

    def _node(
        self, record: DirectoryRecord, parts: tuple[tuple[int, int], ...], extra: Extras
    ) -> Node:
        plain = self._plain_name(record.identifier)
        is_directory = bool(record.flags & iso.DIRECTORY)
        kind = Kind.DIRECTORY if is_directory else Kind.LINK if extra.target else Kind.FILE
        if extra.relocated is not None:
            kind, parts = Kind.DIRECTORY, self._relocated(extra.relocated)
        size = sum(size for _, size in parts) if kind is Kind.FILE else 0
        name = (extra.name or plain).replace("/", "_").replace("\0", "")
        alias = plain if extra.name and plain != name else ""
        return Node(
            name, kind, size, record.modified, extra.mode, Extents(parts), alias, extra.target
        )

    def _relocated(self, block: int) -> tuple[tuple[int, int], ...]:
        """A deep directory that Rock Ridge keeps elsewhere: its own first record has the size."""
        own = self._unpacked(self.medium.read(block * SECTOR, OWN_RECORD))
        return ((block, own.size),)

    def _plain_name(self, identifier: bytes) -> str:
        encoding = "utf-16-be" if self._descriptor.is_joliet else "latin-1"
        name = identifier.decode(encoding, "replace")
        base, mark, version = name.rpartition(";")
        if mark and version.isdecimal():
            name = base
        return name.removesuffix(".") or name

    def chunks(self, file: Node) -> Iterator[bytes]:
        """A file's bytes, in pieces."""
        assert isinstance(file.place, Extents)
        for block, size in file.place.parts:
            self.medium.view(block * SECTOR, size)
        for block, size in file.place.parts:
            yield from self.medium.chunks(block * SECTOR, size)

    def same_name(self, one: str, other: str) -> bool:
        """Plain and Joliet names differ by more than case; Rock Ridge's by case as well."""
        return one == other if self._rock_ridge else fold(one) == fold(other)

    def _read_catalog(self) -> bytes:
        """The first sector of the boot catalog, b'' if there is none; raises InputError."""
        return self.medium.read(self._catalog * SECTOR, SECTOR) if self._catalog else b""

    def boot_entries(self) -> tuple[iso.BootEntry, ...]:
        """The entries of the El Torito boot catalog; raises InputError if it cannot be read."""
        data = self._read_catalog()
        return tuple(iso.unpack_catalog(data)) if data else ()

    def catalog_fault(self) -> str:
        """Why firmware ignores the boot catalog, or ''; raises InputError as `boot_entries`."""
        data = self._read_catalog()
        return iso.catalog_fault(data) if data else ""
