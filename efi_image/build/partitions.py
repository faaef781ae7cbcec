"""The places of partitions on a disk, and its partition table.

The first partition is the FAT volume; the others follow in the order given. A partition
begins at a multiple of the alignment, and ends at one unless the disk is exact: as small
as possible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from efi_image.errors import DoesNotFitError, UsageError
from efi_image.formats.gpt.structures import ENTRIES, MAX_NAME, Gpt, PartitionEntry
from efi_image.formats.gpt.types import NO_GUID, PartitionType
from efi_image.formats.gpt.writer import array_sectors, create
from efi_image.formats.iso9660.structures import EL_TORITO_SECTOR
from efi_image.formats.iso9660.structures import SECTOR as ISO_SECTOR
from efi_image.formats.iso9660.writer import END as ISO_END
from efi_image.formats.mbr import MAX_PRIMARY, MAX_SECTORS, Mbr, PartitionRecord

MAX_ALIGNMENT = 1 << 30


class Table(Enum):
    """The partition table of a disk; none: the disk is one volume.

    ISO: a GPT, and an ISO 9660 file system before the first partition.
    """

    GPT = "gpt"
    MBR = "mbr"
    NONE = "none"
    ISO = "iso"

    @property
    def is_gpt(self) -> bool:
        """Whether it gives a GUID to the disk and to each partition."""
        return self in {Table.GPT, Table.ISO}


@dataclass(frozen=True, slots=True)
class Place:
    """A partition's first sector and its number of sectors."""

    first_lba: int
    sectors: int

    @property
    def last_lba(self) -> int:
        """The partition's last sector."""
        return self.first_lba + self.sectors - 1


@dataclass(frozen=True, slots=True)
class Geometry:
    """The rules by which partitions are placed on a disk of any size.

    `extras` are the sizes, in bytes, of all partitions but the first; `exact`: nothing is
    rounded up to the alignment but where partitions begin.
    """

    table: Table
    sector_size: int
    alignment: int
    extras: tuple[int, ...] = ()
    exact: bool = False

    def check(self, where: Callable[[str], str]) -> None:
        """Raise UsageError if there is no such disk; `where` gives the place of a setting."""
        if self.table is Table.ISO and self.sector_size != EL_TORITO_SECTOR:
            raise UsageError("must be 512 for an ISO image", where=where("sector-size"))
        if self.alignment % self.unit or not 0 < self.alignment <= MAX_ALIGNMENT:
            raise UsageError(
                f"must be a multiple of {self.unit} bytes, 1G at most", where=where("align")
            )
        most = {Table.MBR: MAX_PRIMARY, Table.NONE: 1}.get(self.table, ENTRIES)
        if len(self.extras) >= most:
            if self.table is Table.NONE:
                raise UsageError(
                    "needs a partition table", where=where("partition"), hint="use --table gpt"
                )
            raise UsageError(f"an image has {most} partitions at most", where=where("partition"))

    @property
    def unit(self) -> int:
        """The image's size is a multiple of so many bytes."""
        return ISO_SECTOR if self.table is Table.ISO else self.sector_size

    @property
    def _head(self) -> int:
        """Sectors before any partition."""
        return {
            Table.GPT: 2 + array_sectors(self.sector_size),
            Table.MBR: 1,
            Table.NONE: 0,
            Table.ISO: ISO_END * ISO_SECTOR // self.sector_size,
        }[self.table]

    @property
    def tail(self) -> int:
        """Sectors behind all partitions."""
        return 1 + array_sectors(self.sector_size) if self.table.is_gpt else 0

    @property
    def _step(self) -> int:
        return self.alignment // self.sector_size

    def _aligned(self, sectors: int) -> int:
        return -(-sectors // self._step) * self._step

    @property
    def first_lba(self) -> int:
        """The first sector of the first partition."""
        return self._aligned(self._head)

    def _extra_sectors(self, size: int) -> int:
        sectors = max(-(-size // self.sector_size), 1)
        return sectors if self.exact else self._aligned(sectors)

    def volume_sectors(self, sectors: int) -> int:
        """Sectors of the first partition of a disk of `sectors` that is filled up; 0 if none."""
        if self.table is Table.NONE:
            return sectors
        end = (sectors - self.tail) // self._step * self._step
        end -= sum(self._aligned(self._extra_sectors(size)) for size in self.extras)
        return max(end - self.first_lba, 0)

    def places(self, volume: int) -> tuple[Place, ...]:
        """Where all partitions are, if the first has `volume` sectors."""
        places = [Place(self.first_lba, volume)]
        for size in self.extras:
            before = places[-1]
            first = self._aligned(before.first_lba + before.sectors)
            places.append(Place(first, self._extra_sectors(size)))
        return tuple(places)

    def disk_sectors(self, volume: int) -> int:
        """The fewest sectors of a disk whose first partition has `volume` of them."""
        last = self.places(volume)[-1]
        end = last.first_lba + last.sectors
        sectors = (
            end if self.exact or self.table is Table.NONE else self._aligned(end)
        ) + self.tail
        per_unit = self.unit // self.sector_size
        return -(-sectors // per_unit) * per_unit


@dataclass(frozen=True, slots=True)
class Entry:
    """A partition of the table; `origin` is the place to name in an error about it."""

    place: Place
    type: PartitionType
    guid: UUID
    name: str
    origin: str = ""


def gpt_of(geometry: Geometry, sectors: int, disk_guid: UUID, entries: tuple[Entry, ...]) -> Gpt:
    """The GUID partition table with these entries; raises UsageError."""
    for entry in entries:
        if entry.type.guid == NO_GUID:
            raise UsageError(
                f"a GPT has no partition type {entry.type.name}",
                where=entry.origin,
                hint="give the type's name or GUID, or use --table mbr",
            )
        if len(entry.name.encode("utf-16-le", "surrogatepass")) > 2 * MAX_NAME:
            raise UsageError(
                f"'{entry.name}' is longer than {MAX_NAME} UTF-16 units", where=entry.origin
            )
    rows = tuple(
        PartitionEntry(e.type.guid, e.guid, e.place.first_lba, e.place.last_lba, e.name)
        for e in entries
    )
    return create(sectors, geometry.sector_size, disk_guid, rows)


def mbr_of(signature: int, entries: tuple[Entry, ...]) -> Mbr:
    """The master boot record with these entries; raises UsageError, DoesNotFitError."""
    rows = []
    for entry in entries:
        if entry.type.mbr is None:
            raise UsageError(
                f"an MBR has no partition type {entry.type.name}",
                where=entry.origin,
                hint="give the type's byte, such as 0x83, or use --table gpt",
            )
        if entry.place.first_lba + entry.place.sectors > MAX_SECTORS:
            raise DoesNotFitError("an MBR is limited to 2^32 sectors", hint="use --table gpt")
        rows.append(
            PartitionRecord.create(entry.type.mbr, entry.place.first_lba, entry.place.sectors)
        )
    return Mbr(signature, tuple(rows))
