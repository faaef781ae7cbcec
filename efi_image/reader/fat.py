"""FAT volumes of any maker, read leniently: what is wrong is told apart from what is unusable."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache

from efi_image.errors import InputError
from efi_image.fat import layout as layouts
from efi_image.fat.layout import DIRECTORY_ENTRY, FIRST_CLUSTER, FatType
from efi_image.fat.names import ATTRIBUTE_LONG_NAME, LAST_RECORD, RECORD, checksum, fold
from efi_image.fat.volume import (
    ATTRIBUTE_DIRECTORY,
    ATTRIBUTE_LABEL,
    ENTRY,
    MAX_DIRECTORY_ENTRIES,
)
from efi_image.reader.files import Kind, Node
from efi_image.reader.medium import Medium

FREE_ENTRY = 0x00  # first byte of a name: this and all that follow are free
DELETED_ENTRY = 0xE5
KANJI_E5 = 0x05  # stands for 0xE5
LOWER_BASE, LOWER_EXTENSION = 0x08, 0x10  # Windows NT: an 8.3 name in lower case
MAX_LONG_RECORDS = 20
PAGE = 3 << 14  # bytes of a FAT read at a time; whole FAT12, FAT16 and FAT32 entries
ATTRIBUTE_LETTERS = "RHSVDA"  # read-only, hidden, system, volume label, directory, archive


@dataclass(frozen=True)
class BootSector:
    """A boot sector's fields as they are, whether they make sense or not.

    Sizes in sectors but `sector_size` in bytes; the fields of FAT32 are 0 if `is_fat32_form`
    is false.
    """

    jump: bytes
    oem: bytes
    sector_size: int
    sectors_per_cluster: int
    reserved: int
    fats: int
    root_entries: int
    sectors_16: int
    media: int
    fat_sectors_16: int
    sectors_per_track: int
    heads: int
    hidden: int
    sectors_32: int
    fat_sectors_32: int
    flags: int
    version: int
    root_cluster: int
    fsinfo_sector: int
    backup_sector: int
    drive: int
    extended_signature: int
    serial: int
    label: bytes
    type_name: bytes
    signature: bytes

    @classmethod
    def parse(cls, sector: bytes) -> BootSector:
        """The fields of a sector's first 512 bytes; raises InputError if there are fewer."""
        if len(sector) < 512:
            raise InputError("a boot sector has 512 bytes")
        common = layouts.COMMON.unpack_from(sector)
        wide = common[9] == 0  # as Linux and Microsoft tell FAT32's form
        end = layouts.COMMON.size
        fat32 = layouts.FAT32_ONLY.unpack_from(sector, end) if wide else (0,) * 6
        end += layouts.FAT32_ONLY.size if wide else 0
        drive, _, extended, serial, label, type_name = layouts.IDENTITY.unpack_from(sector, end)
        identity = (drive, extended, serial, label, type_name)
        fields = (*common, *fat32, *identity, sector[510:512])
        return cls(*fields)

    @property
    def is_fat32_form(self) -> bool:
        """Whether FAT32's fields are there."""
        return self.fat_sectors_16 == 0

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
        """Why no reader could find its way with these fields; '' if one could."""
        if self.sector_size not in layouts.SECTOR_SIZES:
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


class Record(Enum):
    """What a directory record is."""

    FREE = "free"
    DELETED = "deleted"
    LONG_NAME = "long name"
    LABEL = "label"
    DOT = "dot"
    DIRECTORY = "directory"
    FILE = "file"


class ChainFault(Enum):
    """How a cluster chain goes wrong."""

    OUTSIDE = "leads to a cluster that does not exist"
    FREE = "leads to a free cluster"
    BAD = "leads to a cluster marked bad"
    LOOP = "leads back into itself"
    SHORT = "ends too early"
    LONG = "is too long"


class ChainError(InputError):
    """A cluster chain that cannot be followed; `cluster` is the last good one."""

    def __init__(self, fault: ChainFault, cluster: int, where: str) -> None:
        super().__init__(f"the chain {fault.value} after cluster {cluster}", where=where)
        self.fault = fault
        self.cluster = cluster


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory's place: its first cluster; 0 is the root."""

    first_cluster: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's bytes are."""

    first_cluster: int
    size: int
    is_directory: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A directory entry: the short record and the long name that belongs to it.

    `position` is the short record's byte on the volume. `long` is '' without a long name;
    `stray_records` counts long-name records before it that do not belong to it.
    """

    kind: Record
    short: bytes
    long: str
    attributes: int
    case: int
    created: tuple[int, int, int]
    accessed: int
    modified: tuple[int, int]
    first_cluster: int
    size: int
    position: int
    stray_records: int = 0

    @property
    def short_name(self) -> str:
        """`BASE.EXT`, in lower case where the case bits say so."""
        raw = self.short
        if raw[:1] == bytes([KANJI_E5]):
            raw = bytes([DELETED_ENTRY]) + raw[1:]
        base = raw[:8].decode("cp437").rstrip()
        extension = raw[8:].decode("cp437").rstrip()
        base = base.lower() if self.case & LOWER_BASE else base
        extension = extension.lower() if self.case & LOWER_EXTENSION else extension
        return f"{base}.{extension}" if extension else base

    @property
    def name(self) -> str:
        """The name to show."""
        return self.long or self.short_name

    @property
    def modified_at(self) -> datetime | None:
        """When it was last written; None if the fields are no date."""
        return moment(*self.modified)

    @property
    def created_at(self) -> datetime | None:
        """When it was made; None if the fields are no date."""
        date, time, tenths = self.created
        return moment(date, time, tenths)


def moment(date: int, time: int, hundredths: int = 0) -> datetime | None:
    """FAT's date and time (without a time zone); None if there is no such."""
    try:
        return datetime(
            1980 + (date >> 9),
            date >> 5 & 15,
            date & 31,
            time >> 11,
            time >> 5 & 63,
            (time & 31) * 2 + hundredths // 100,
        )
    except ValueError:
        return None


def _kind(raw: bytes) -> Record:
    first, attributes = raw[0], raw[11]
    if first == FREE_ENTRY:
        return Record.FREE
    if first == DELETED_ENTRY:
        return Record.DELETED
    if attributes & 0x3F == ATTRIBUTE_LONG_NAME:
        return Record.LONG_NAME
    if attributes & ATTRIBUTE_LABEL:
        return Record.LABEL
    if raw[:11] in (b".          ", b"..         "):
        return Record.DOT
    return Record.DIRECTORY if attributes & ATTRIBUTE_DIRECTORY else Record.FILE


class LongName:
    """Gathers the records of a long name, and says whether they belong to a short one."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._next = 0
        self._tie = 0
        self.count = 0  # records seen since the last short one

    def add(self, raw: bytes) -> None:
        """The next record."""
        order, first, _, _, tie, second, _, third = RECORD.unpack(raw)
        self.count += 1
        number = order & ~LAST_RECORD
        if order & LAST_RECORD and 1 <= number <= MAX_LONG_RECORDS:
            self._parts, self._tie = [], tie
        elif not number or number != self._next or tie != self._tie:
            self._parts, self._next = [], 0
            return
        self._parts.append(first + second + third)
        self._next = number - 1

    def take(self, short: bytes) -> tuple[str, int]:
        """The long name of that short one ('' if none), and the stray records before it."""
        parts, count = self._parts, self.count
        whole = bool(parts) and self._next == 0 and checksum(short) == self._tie
        self._parts, self._next, self.count = [], 0, 0
        if not whole:
            return "", count
        units = b"".join(reversed(parts)).decode("utf-16-le", "surrogatepass")
        return units.split("\0", 1)[0], count - len(parts)


class FatVolume:
    """A FAT volume on a medium. Raises InputError if it is none, or one past use."""

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.boot = BootSector.parse(medium.peek(0, 512).ljust(512, b"\0"))
        if self.boot.fault:
            raise InputError(f"is no FAT volume: it {self.boot.fault}", where=medium.name)
        self.clusters = self.boot.clusters
        self.kind = FatType.of(self.clusters)
        self.last_cluster = self.clusters + FIRST_CLUSTER - 1
        self._page = lru_cache(maxsize=16)(self._read_page)

    # ---- the FAT

    def _entries_in_fat(self) -> int:
        return self.boot.fat_sectors * self.boot.sector_size * 8 // self.kind.value

    def _read_page(self, copy: int, number: int) -> array[int]:
        """A piece of a FAT, as numbers; pieces have `page_entries` of them."""
        start = (self.boot.reserved + copy * self.boot.fat_sectors) * self.boot.sector_size
        offset = number * PAGE
        length = min(PAGE, self.boot.fat_sectors * self.boot.sector_size - offset)
        raw = self.medium.read(start + offset, length)
        if self.kind is FatType.FAT12:
            return _unpacked12(raw)
        entries = array("I" if self.kind is FatType.FAT32 else "H")
        entries.frombytes(raw[: len(raw) - len(raw) % entries.itemsize])
        if sys.byteorder == "big":
            entries.byteswap()
        return entries

    def page(self, number: int, copy: int = 0) -> array[int]:
        """A piece of a FAT, raw; FAT32's upper four bits are not cleared."""
        return self._page(copy, number)

    @property
    def page_entries(self) -> int:
        """Entries in a piece of the FAT."""
        return PAGE * 8 // self.kind.value

    def entry(self, cluster: int, copy: int = 0) -> int:
        """The FAT's entry for a cluster, without FAT32's upper four bits."""
        if not 0 <= cluster < self._entries_in_fat():
            raise InputError(f"the FAT has no entry {cluster}", where=self.medium.name)
        page, index = divmod(cluster, self.page_entries)
        return self._page(copy, page)[index] & self.kind.end_of_chain

    def table(self, copy: int = 0) -> Iterator[array[int]]:
        """A FAT's raw entries up to the last cluster's, in pieces; the first are 0 and 1."""
        left = min(self.last_cluster + 1, self._entries_in_fat())
        number = 0
        while left > 0:
            page = self._read_page(copy, number)
            yield page[:left]
            left -= len(page)
            number += 1

    def is_end(self, value: int) -> bool:
        """Whether a FAT entry ends a chain."""
        return value >= self.kind.end_of_chain - 7

    def is_bad(self, value: int) -> bool:
        """Whether a FAT entry marks its cluster as bad."""
        return value == self.kind.end_of_chain - 8

    def exists(self, cluster: int) -> bool:
        """Whether there is such a cluster."""
        return FIRST_CLUSTER <= cluster <= self.last_cluster

    def _follow(self, cluster: int, where: str) -> int:
        """The cluster after that one, or 0; raises ChainError."""
        value = self.entry(cluster)
        if self.is_end(value):
            return 0
        if self.exists(value):
            return value
        fault = ChainFault.BAD if self.is_bad(value) else ChainFault.OUTSIDE
        raise ChainError(ChainFault.FREE if value == 0 else fault, cluster, where)

    def chain(self, first: int, where: str = "") -> Iterator[int]:
        """The clusters of a chain; raises ChainError, for a loop after some rounds at most."""
        if not self.exists(first):
            raise ChainError(ChainFault.OUTSIDE, first, where or self.medium.name)
        where = where or self.medium.name
        cluster, anchor, steps, limit = first, 0, 0, 1
        while cluster:
            if cluster == anchor:
                raise ChainError(ChainFault.LOOP, cluster, where)
            yield cluster
            steps += 1
            if steps == limit:  # Brent: the anchor moves at every power of two
                anchor, steps, limit = cluster, 0, limit * 2
            cluster = self._follow(cluster, where)

    def length(self, first: int, where: str = "") -> int:
        """Clusters in a chain, followed to its end; raises ChainError."""
        return sum(1 for _ in self.chain(first, where))

    def offset(self, cluster: int) -> int:
        """The byte on the volume where a cluster begins."""
        boot = self.boot
        index = cluster - FIRST_CLUSTER
        return boot.data_start * boot.sector_size + index * boot.cluster_size

    def runs(self, first: int, count: int, where: str = "") -> Iterator[tuple[int, int]]:
        """A chain's first `count` clusters as (first, length) of contiguous ones."""
        start, length = 0, 0
        for cluster in self.chain(first, where):
            if start and cluster == start + length:
                length += 1
            else:
                if start:
                    yield start, length
                start, length = cluster, 1
            count -= 1
            if not count:
                break
        yield start, length
        if count:
            raise ChainError(ChainFault.SHORT, start + length - 1, where or self.medium.name)

    # ---- directories

    def _extents(self, directory: Directory) -> Iterator[tuple[int, int]]:
        """(byte on the volume, bytes) of a directory's parts."""
        boot = self.boot
        first = directory.first_cluster
        if first == 0 and self.kind is not FatType.FAT32:
            yield boot.root_start * boot.sector_size, boot.root_entries * DIRECTORY_ENTRY
            return
        left = MAX_DIRECTORY_ENTRIES * DIRECTORY_ENTRY
        for cluster in self.chain(first or boot.root_cluster, f"{self.medium.name}: directory"):
            if left <= 0:
                raise ChainError(ChainFault.LONG, cluster, f"{self.medium.name}: directory")
            yield self.offset(cluster), min(boot.cluster_size, left)
            left -= boot.cluster_size

    def records(self, directory: Directory) -> Iterator[tuple[int, bytes]]:
        """A directory's 32-byte records with their byte on the volume, free ones included."""
        for offset, size in self._extents(directory):
            data = self.medium.read(offset, size)
            for index in range(0, size - DIRECTORY_ENTRY + 1, DIRECTORY_ENTRY):
                yield offset + index, data[index : index + DIRECTORY_ENTRY]

    def entries(self, directory: Directory, *, deleted: bool = False) -> Iterator[Entry]:
        """A directory's entries up to the first free one: files, directories, `.`, labels."""
        name = LongName()
        for position, raw in self.records(directory):
            kind = _kind(raw)
            if kind is Record.FREE:
                return
            if kind is Record.LONG_NAME:
                name.add(raw)
                continue
            if kind is Record.DELETED and not deleted:
                name = LongName()
                continue
            yield self._entry(kind, raw, name, position)

    def _entry(self, kind: Record, raw: bytes, name: LongName, position: int) -> Entry:
        (short, attributes, case, tenths, created, created_on, accessed, high, written,
         written_on, low, size) = ENTRY.unpack(raw)  # fmt: skip
        long, stray = name.take(short)
        cluster = low | (high << 16 if self.kind is FatType.FAT32 else 0)
        return Entry(
            kind=kind,
            short=short,
            long=long,
            attributes=attributes,
            case=case,
            created=(created_on, created, tenths),
            accessed=accessed,
            modified=(written_on, written),
            first_cluster=cluster,
            size=size,
            position=position,
            stray_records=stray,
        )

    # ---- as a file system

    @property
    def format(self) -> str:
        """FAT12, FAT16 or FAT32."""
        return self.kind.name

    @property
    def label(self) -> str:
        """The root directory's label, else the boot sector's."""
        try:
            for entry in self.entries(Directory()):
                if entry.kind is Record.LABEL:
                    return entry.short.decode("cp437").rstrip()
        except InputError:
            pass
        if self.boot.extended_signature != layouts.EXTENDED_SIGNATURE:
            return ""
        label = self.boot.label.decode("cp437").rstrip(" \0")
        return "" if label == "NO NAME" else label

    @property
    def root(self) -> Node:
        """The root directory."""
        return Node("", Kind.DIRECTORY, 0, None, "", Place(0, 0, True))

    def children(self, directory: Node) -> Iterator[Node]:
        """What a directory holds."""
        assert isinstance(directory.place, Place)
        for entry in self.entries(Directory(directory.place.first_cluster)):
            if entry.kind in (Record.FILE, Record.DIRECTORY):
                yield _node(entry)

    def chunks(self, file: Node) -> Iterator[bytes]:
        """A file's bytes, in pieces; raises InputError before the first if the chain is bad."""
        place = file.place
        assert isinstance(place, Place)
        if not place.size:
            return
        where = f"{self.medium.name}: {file.name}"
        count = -(-place.size // self.boot.cluster_size)
        if self.length(place.first_cluster, where) < count:
            raise ChainError(ChainFault.SHORT, place.first_cluster, where)
        left = place.size
        for start, length in self.runs(place.first_cluster, count, where):
            size = min(left, length * self.boot.cluster_size)
            yield from self.medium.chunks(self.offset(start), size)
            left -= size

    def same_name(self, one: str, other: str) -> bool:
        """FAT ignores case."""
        return fold(one) == fold(other)


def _node(entry: Entry) -> Node:
    is_directory = entry.kind is Record.DIRECTORY
    letters = "".join(
        letter for bit, letter in enumerate(ATTRIBUTE_LETTERS) if entry.attributes >> bit & 1
    )
    return Node(
        name=entry.name,
        kind=Kind.DIRECTORY if is_directory else Kind.FILE,
        size=0 if is_directory else entry.size,
        modified=entry.modified_at,
        attributes=letters,
        place=Place(entry.first_cluster, 0 if is_directory else entry.size, is_directory),
        alias=entry.short_name if entry.long else "",
    )


def _unpacked12(raw: bytes) -> array[int]:
    """FAT12: two entries in three bytes."""
    entries = array("H")
    for index in range(0, len(raw) - 1, 3):
        entries.append((raw[index] | raw[index + 1] << 8) & 0xFFF)
        if index + 2 < len(raw):
            entries.append(raw[index + 1] >> 4 | raw[index + 2] << 4)
    return entries


def looks_like_fat(sector: bytes) -> bool:
    """Whether a disk's first sector is a FAT volume's, not an MBR's."""
    if len(sector) < 512 or sector[0] not in (0xEB, 0xE9):
        return False
    boot = BootSector.parse(sector)
    return not boot.fault and (boot.media >= 0xF8 or boot.media == 0xF0)


@dataclass(frozen=True)
class FsInfo:
    """FAT32's counts; `valid` says whether all three signatures are there."""

    valid: bool
    free: int
    next_free: int

    @classmethod
    def parse(cls, sector: bytes) -> FsInfo:
        """The fields of a sector's first 512 bytes; raises InputError if there are fewer."""
        if len(sector) < 512:
            raise InputError("an FSInfo sector has 512 bytes")
        lead, struct_, free, following, trail = struct.unpack("<4s480x4sII12x4s", sector[:512])
        valid = (lead, struct_, trail) == (b"RRaA", b"rrAa", b"\0\0\x55\xaa")
        return cls(valid, free, following)
