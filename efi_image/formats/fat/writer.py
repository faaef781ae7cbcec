"""A FAT volume: planned as a whole, then written once, front to back.

Every chain is contiguous: directories first, then files. So a FAT is a function of the first
clusters and lengths of the chains, and is made piece by piece while it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from efi_image.errors import DoesNotFitError
from efi_image.formats.fat.allocation import Chain, pack_fat
from efi_image.formats.fat.bpb import UNKNOWN, BootSector, FsInfo
from efi_image.formats.fat.directory import (
    ATTRIBUTE_ARCHIVE,
    ATTRIBUTE_DIRECTORY,
    ATTRIBUTE_LABEL,
    DOT,
    DOT_DOT,
    MAX_ENTRIES,
    Timestamp,
    pack_entry,
)
from efi_image.formats.fat.geometry import (
    BACKUP_BOOT_SECTOR,
    DIRECTORY_ENTRY,
    FATS,
    FIRST_CLUSTER,
    FatType,
    Layout,
)
from efi_image.formats.fat.long_names import entry_count, pack_long_name
from efi_image.formats.fat.names import short_names
from efi_image.formats.fat.tree import Directory, File, Tree
from efi_image.io.sink import Sink

MAX_LABEL = 11
FAT_KEPT = 1 << 22  # bytes of a FAT that are kept for its copy
LARGE = 1 << 20  # bytes; files that begin at a multiple of LARGE_UNIT if there is room
LARGE_UNIT = 1 << 16  # what the kernel's page cache takes at once


@dataclass(frozen=True, slots=True)
class VolumeIdentity:
    """A volume's serial number (VolID), label, date of all its entries, and place on the disk.

    `seconds` are since 1970, UTC; `hidden` is the disk's sector where the volume begins.
    """

    serial: int
    label: str
    seconds: int
    hidden: int = 0

    @property
    def label_bytes(self) -> bytes:
        """The label as in a directory entry."""
        return self.label.encode("ascii").ljust(MAX_LABEL)


@dataclass(frozen=True, slots=True)
class _Listing:
    """A directory with the 8.3 names of its children, in order, and how many entries it needs."""

    directory: Directory
    parent: Directory
    shorts: list[bytes]
    entries: int

    @property
    def size(self) -> int:
        return self.entries * DIRECTORY_ENTRY


def _listing(directory: Directory, parent: Directory) -> _Listing:
    names = [child.name for child in directory.sorted()]
    shorts = short_names(names)
    own = 1 if directory is parent else 2  # the root has the label, others `.` and `..`
    entries = own + len(shorts) + sum(map(entry_count, names, shorts))
    if entries > MAX_ENTRIES:
        raise DoesNotFitError(
            f"needs {entries} directory entries; FAT's limit is {MAX_ENTRIES}",
            where="\\" + directory.name,
            hint="use shorter names or more directories",
        )
    return _Listing(directory, parent, shorts, entries)


class VolumeContents:
    """The directories and files of a volume, and the clusters that they need on any layout.

    `files` are in their order on the volume, `paths` are theirs as UEFI writes them. Raises
    DoesNotFitError if a directory has too many entries.
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

    def chain_lengths(self, layout: Layout) -> list[int]:
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
        """The directories and files that have these chains."""
        with_root = layout.kind is FatType.FAT32
        for listing in self.listings if with_root else self.listings[1:]:
            yield listing.directory
        yield from (file for file in self.files if file.size)

    def clusters(self, layout: Layout) -> int:
        """The clusters needed on a volume of that layout."""
        key = (layout.cluster_size, layout.kind is FatType.FAT32)
        if key not in self._clusters:
            self._clusters[key] = sum(self.chain_lengths(layout))
        return self._clusters[key]

    def clusters_needed(self, layout: Layout) -> int:
        """The same; more than any volume has if the root directory is too small."""
        if layout.root_entries and self.listings[0].entries > layout.root_entries:
            return layout.kind.max_clusters + 1
        return self.clusters(layout)

    def fits(self, layout: Layout) -> bool:
        """Whether a volume of that layout has room for it all."""
        return self.clusters_needed(layout) <= layout.clusters


@dataclass(frozen=True, slots=True)
class Volume:
    """A planned volume, ready to be written; `end` is the cluster behind the last in use."""

    layout: Layout
    identity: VolumeIdentity
    contents: VolumeContents
    end: int

    @property
    def used(self) -> int:
        """Clusters in use."""
        return self.contents.clusters(self.layout)

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
        return pack_fat(self.layout.kind, self._chains())

    def _chains(self) -> Iterator[Chain]:
        places = (node.first_cluster for node in self.contents.nodes(self.layout))
        return zip(places, self.contents.chain_lengths(self.layout), strict=True)

    def _write_reserved(self, sink: Sink, start: int) -> None:
        layout, identity = self.layout, self.identity
        boot = BootSector.create(layout, identity.hidden, identity.serial, identity.label_bytes)
        if layout.kind is not FatType.FAT32:
            sink.write(boot.pack())
            return
        following = self.end if self.end < layout.clusters + FIRST_CLUSTER else UNKNOWN
        fsinfo = FsInfo(layout.clusters - self.used, following)
        pair = boot.pack() + fsinfo.pack(layout.sector_size)
        sink.write(pair)
        sink.skip_to(start + BACKUP_BOOT_SECTOR * layout.sector_size)
        sink.write(pair)

    def _write_directories(self, sink: Sink, start: int) -> None:
        for listing in self.contents.listings:
            if listing.directory.first_cluster:
                sink.skip_to(start + self.layout.offset(listing.directory.first_cluster))
            sink.write(b"".join(self._entries(listing)))

    def _write_files(self, sink: Sink, start: int) -> None:
        size = self.layout.cluster_size
        first = start + self.layout.offset(FIRST_CLUSTER)
        for file in self.contents.files:
            if file.size:
                position = first + (file.first_cluster - FIRST_CLUSTER) * size
                if position > sink.position:
                    sink.skip_to(position)
            digest = sink.copy(file.source)
            if digest:
                file.sha256 = digest

    def _entries(self, listing: _Listing) -> Iterator[bytes]:
        at = Timestamp.of(self.identity.seconds)
        if listing.directory is listing.parent:
            yield pack_entry(self.identity.label_bytes, ATTRIBUTE_LABEL, 0, 0, at)
        else:
            is_top = listing.parent is self.contents.listings[0].directory
            above = 0 if is_top else listing.parent.first_cluster
            own = listing.directory.first_cluster
            yield pack_entry(DOT, ATTRIBUTE_DIRECTORY, own, 0, at)
            yield pack_entry(DOT_DOT, ATTRIBUTE_DIRECTORY, above, 0, at)
        for child, short in zip(listing.directory.sorted(), listing.shorts, strict=True):
            yield pack_long_name(child.name, short)
            if isinstance(child, File):
                yield pack_entry(short, ATTRIBUTE_ARCHIVE, child.first_cluster, child.size, at)
            else:
                yield pack_entry(short, ATTRIBUTE_DIRECTORY, child.first_cluster, 0, at)


def _gap(cluster: int, layout: Layout) -> int:
    """Clusters to leave free, so that a large file begins where it is copied fastest."""
    gap, rest = divmod(-layout.offset(cluster) % LARGE_UNIT, layout.cluster_size)
    return 0 if rest else gap


def plan(contents: VolumeContents, identity: VolumeIdentity, layout: Layout) -> Volume:
    """Give every directory and file its clusters on a volume of a layout with enough room."""
    contents.listings[0].directory.first_cluster = 0
    for file in contents.files:
        file.first_cluster = 0
    cluster = FIRST_CLUSTER
    large = (LARGE - 1) // layout.cluster_size  # clusters that no large file has
    spare = layout.clusters - contents.clusters(layout)
    for node, length in zip(contents.nodes(layout), contents.chain_lengths(layout), strict=True):
        if length > large and isinstance(node, File) and node.size >= LARGE:
            gap = _gap(cluster, layout)
            if gap <= spare:
                spare -= gap
                cluster += gap
        node.first_cluster = cluster
        cluster += length
    return Volume(layout, identity, contents, cluster)
