"""A FAT volume: planned as a whole, then written once, front to back.

Every chain is contiguous: directories first, then files. So a FAT is a function of the
chains' places and is made piece by piece as it is written.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from efi_image.errors import DoesNotFitError
from efi_image.formats.fat import allocation as table
from efi_image.formats.fat import geometry as layouts
from efi_image.formats.fat.geometry import DIRECTORY_ENTRY, FATS, FIRST_CLUSTER, FatType, Layout
from efi_image.formats.fat.names import long_records, short_names
from efi_image.formats.fat.tree import Directory, File, Tree
from efi_image.io.sink import Sink

ATTRIBUTE_LABEL = 0x08
ATTRIBUTE_DIRECTORY = 0x10
ATTRIBUTE_ARCHIVE = 0x20
MAX_DIRECTORY_ENTRIES = 0x10000
MAX_LABEL = 11
FAT_KEPT = 1 << 22  # bytes of a FAT that are kept for its copy
LARGE = 1 << 20  # bytes; files that begin at a multiple of LARGE_UNIT if there is room
LARGE_UNIT = 1 << 16  # what the kernel's page cache takes at once

_EARLIEST = 315532800  # the beginning of the year 1980, in seconds since 1970
_LATEST = 4354819198  # the last even second of the year 2107
ENTRY = struct.Struct("<11sBBBHHHHHHHI")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A date and time as FAT has them: in steps of two seconds, from 1980 to 2107."""

    date: int
    time: int

    @classmethod
    def of(cls, seconds: int) -> Stamp:
        """Seconds since 1970 (UTC), moved into FAT's range."""
        year, month, day, hour, minute, second = time.gmtime(min(max(seconds, _EARLIEST), _LATEST))[
            :6
        ]
        return cls(
            (year - 1980) << 9 | month << 5 | day,
            hour << 11 | minute << 5 | second // 2,
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a volume from another: serial number, label, time, place on the disk."""

    serial: int
    label: str
    seconds: int
    hidden: int = 0

    @property
    def label_bytes(self) -> bytes:
        """The label as a directory entry holds it."""
        return self.label.encode("ascii").ljust(MAX_LABEL)


@dataclass(frozen=True, slots=True)
class _Listing:
    """A directory; of what is in it, in order, the 8.3 names and how many long-name records."""

    directory: Directory
    parent: Directory
    shorts: list[bytes]
    records: bytes
    entries: int

    @property
    def size(self) -> int:
        return self.entries * DIRECTORY_ENTRY


def _listing(directory: Directory, parent: Directory) -> _Listing:
    shorts, records = short_names([child.name for child in directory.sorted()])
    own = 1 if directory is parent else 2  # the root has the label, others `.` and `..`
    entries = own + len(shorts) + sum(records)
    if entries > MAX_DIRECTORY_ENTRIES:
        raise DoesNotFitError(
            f"needs {entries} directory entries; FAT's limit is {MAX_DIRECTORY_ENTRIES}",
            where="\\" + directory.name,
            hint="use shorter names or more directories",
        )
    return _Listing(directory, parent, shorts, records, entries)


class Demand:
    """What a tree asks of a volume, whatever the volume's layout.

    `files` are in their order on the volume, `paths` theirs as UEFI writes them.
    """

    def __init__(self, tree: Tree) -> None:
        self.listings = [_listing(*pair) for pair in tree.directories()]
        self.paths: list[str] = []
        self.files: list[File] = []
        for path, file in tree.files():
            self.paths.append(path)
            self.files.append(file)
        self._file_sizes = [file.size for file in self.files]
        self._chains: dict[tuple[int, bool], list[int]] = {}
        self._clusters: dict[tuple[int, bool], int] = {}

    def chains(self, layout: Layout) -> list[int]:
        """The lengths of all chains in clusters, in their order on the volume."""
        size = layout.cluster_size
        with_root = layout.kind is FatType.FAT32
        known = self._chains.get((size, with_root))
        if known is None:
            listings = self.listings if with_root else self.listings[1:]
            known = [-(-listing.size // size) for listing in listings]
            known += [-(-count // size) for count in self._file_sizes if count]
            self._chains = {(size, with_root): known}
        return known

    def nodes(self, layout: Layout) -> Iterator[Directory | File]:
        """What has these chains."""
        with_root = layout.kind is FatType.FAT32
        for listing in self.listings if with_root else self.listings[1:]:
            yield listing.directory
        yield from (file for file in self.files if file.size)

    def clusters(self, layout: Layout) -> int:
        """The clusters needed on a volume of that layout."""
        key = (layout.cluster_size, layout.kind is FatType.FAT32)
        if key not in self._clusters:
            self._clusters[key] = sum(self.chains(layout))
        return self._clusters[key]

    def wanted(self, layout: Layout) -> int:
        """The clusters needed on a volume of that layout; more than any has if it cannot be."""
        if layout.root_entries and self.listings[0].entries > layout.root_entries:
            return layout.kind.most + 1
        return self.clusters(layout)

    def fits(self, layout: Layout) -> bool:
        """Whether a volume of that layout holds it all."""
        return self.wanted(layout) <= layout.clusters


@dataclass(frozen=True, slots=True)
class Volume:
    """A planned volume, ready to be written; `end` is the cluster behind the last in use."""

    layout: Layout
    identity: Identity
    demand: Demand
    end: int

    @property
    def used(self) -> int:
        """Clusters in use."""
        return self.demand.clusters(self.layout)

    def write(self, sink: Sink) -> None:
        """Write all of it at the sink's position."""
        end = sink.position + self.layout.size
        start = sink.position
        self._write_reserved(sink, start)
        kept = self._fat()
        if self.end * self.layout.kind.value // 8 <= FAT_KEPT:
            kept = list(kept)
        for number in range(FATS):
            fat = self.layout.reserved + number * self.layout.fat_sectors
            sink.skip_to(start + fat * self.layout.sector_size)
            for chunk in kept if isinstance(kept, list) else self._fat():
                sink.write(chunk)
        sink.skip_to(
            start + (self.layout.data_start - self.layout.root_sectors) * self.layout.sector_size
        )
        self._write_directories(sink, start)
        self._write_files(sink, start)
        sink.skip_to(end)

    def _fat(self) -> Iterable[bytes]:
        return table.pieces(self.layout.kind, self._chains())

    def _chains(self) -> Iterator[table.Chain]:
        places = (node.first_cluster for node in self.demand.nodes(self.layout))
        return zip(places, self.demand.chains(self.layout), strict=True)

    def _write_reserved(self, sink: Sink, start: int) -> None:
        place = self.identity
        boot = layouts.boot_sector(self.layout, place.hidden, place.serial, place.label_bytes)
        if self.layout.kind is not FatType.FAT32:
            sink.write(boot)
            return
        pair = boot + layouts.fsinfo_sector(self.layout, self.used, self.end)
        sink.write(pair)
        sink.skip_to(start + layouts.BACKUP_BOOT_SECTOR * self.layout.sector_size)
        sink.write(pair)

    def _write_directories(self, sink: Sink, start: int) -> None:
        for listing in self.demand.listings:
            if listing.directory.first_cluster:
                sink.skip_to(start + self.layout.offset(listing.directory.first_cluster))
            sink.write(b"".join(self._entries(listing)))

    def _write_files(self, sink: Sink, start: int) -> None:
        size = self.layout.cluster_size
        first = start + self.layout.offset(FIRST_CLUSTER)
        for file in self.demand.files:
            if file.size:
                position = first + (file.first_cluster - FIRST_CLUSTER) * size
                if position > sink.position:
                    sink.skip_to(position)
            digest = sink.copy(file.source)
            if digest:
                file.sha256 = digest

    def _entries(self, listing: _Listing) -> Iterator[bytes]:
        entry = _entry_of(Stamp.of(self.identity.seconds))
        if listing.directory is listing.parent:
            label = self.identity.label_bytes
            yield entry(label, ATTRIBUTE_LABEL, 0, 0)
        else:
            is_top = listing.parent is self.demand.listings[0].directory
            above = 0 if is_top else listing.parent.first_cluster
            own = listing.directory.first_cluster
            yield entry(b".".ljust(11), ATTRIBUTE_DIRECTORY, own, 0)
            yield entry(b"..".ljust(11), ATTRIBUTE_DIRECTORY, above, 0)
        children = listing.directory.sorted()
        for child, short, records in zip(children, listing.shorts, listing.records, strict=True):
            if records:
                yield long_records(child.name, short)
            if isinstance(child, File):
                yield entry(short, ATTRIBUTE_ARCHIVE, child.first_cluster, child.size)
            else:
                yield entry(short, ATTRIBUTE_DIRECTORY, child.first_cluster, 0)


def _entry_of(stamp: Stamp) -> Callable[[bytes, int, int, int], bytes]:
    """What makes a directory entry of that time from 8.3 name, attribute, first cluster, size."""
    date, time, pack = stamp.date, stamp.time, ENTRY.pack

    def entry(short: bytes, attribute: int, cluster: int, size: int) -> bytes:
        high, low = cluster >> 16, cluster & 0xFFFF
        return pack(short, attribute, 0, 0, time, date, date, high, time, date, low, size)

    return entry


def _gap(cluster: int, layout: Layout) -> int:
    """Clusters to leave out, so that a large file begins where it is copied fastest."""
    gap, rest = divmod(-layout.offset(cluster) % LARGE_UNIT, layout.cluster_size)
    return 0 if rest else gap


def _place(demand: Demand, layout: Layout) -> int:
    """Give all their first clusters, in the order of Demand.chains; the cluster behind them."""
    demand.listings[0].directory.first_cluster = 0
    for file in demand.files:
        file.first_cluster = 0
    cluster = FIRST_CLUSTER
    large = (LARGE - 1) // layout.cluster_size  # clusters that no large file has
    spare = layout.clusters - demand.clusters(layout)
    for node, length in zip(demand.nodes(layout), demand.chains(layout), strict=True):
        if length > large and isinstance(node, File) and node.size >= LARGE:
            gap = _gap(cluster, layout)
            if gap <= spare:
                spare -= gap
                cluster += gap
        node.first_cluster = cluster
        cluster += length
    return cluster


def plan(
    demand: Demand,
    identity: Identity,
    *,
    sectors: int,
    sector_size: int = 512,
    kind: FatType | None = None,
    layout: Layout | None = None,
) -> Volume:
    """Place a tree on a volume of that size, or of that layout; raises DoesNotFitError."""
    layout = layout or layouts.choose(sectors, sector_size, demand.fits, kind)
    return Volume(layout, identity, demand, _place(demand, layout))
