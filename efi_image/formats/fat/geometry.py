"""The geometry of a FAT volume: its type, and where its parts are.

Microsoft, FAT: General Overview of On-Disk Format 1.03, "FAT Type Determination" and "FAT
Volume Initialization".

The number of clusters alone decides the type. Some readers are off by a few at the
limits, so volumes keep MARGIN clusters clear of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from efi_image.errors import UsageError

SECTOR_SIZES = (512, 1024, 2048, 4096)
PAGE = 4096
MARGIN = 16
MAX_CLUSTER = 32 * 1024
MEDIA = 0xF8  # a fixed disk
DIRECTORY_ENTRY = 32
FSINFO_SECTOR = 1
BACKUP_BOOT_SECTOR = 6
ROOT_CLUSTER = 2
FIRST_CLUSTER = 2
SECTORS_PER_TRACK = 63
HEADS = 255
FATS = 2
MAX_SECTORS = 0xFFFFFFFF

MIB = 1 << 20
GIB = 1 << 30

EXTENDED_SIGNATURE = 0x29


class FatType(Enum):
    """Width of a FAT entry in bits."""

    FAT12 = 12
    FAT16 = 16
    FAT32 = 32

    @classmethod
    def of(cls, clusters: int) -> FatType:
        """The type of a volume with that many clusters, as every reader decides it."""
        return cls.FAT12 if clusters < 4085 else cls.FAT16 if clusters < 65525 else cls.FAT32

    @property
    def min_clusters(self) -> int:
        """The fewest clusters a volume of this type is given here."""
        return {12: 1, 16: 4085 + MARGIN, 32: 65525 + MARGIN}[self.value]

    @property
    def max_clusters(self) -> int:
        """The most clusters a volume of this type is given here."""
        return {12: 4084 - MARGIN, 16: 65524 - MARGIN, 32: (1 << 28) - 16 - MARGIN}[self.value]

    @property
    def end_of_chain(self) -> int:
        """The FAT entry of a chain's last cluster."""
        return {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}[self.value]


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a volume's parts, in sectors unless said otherwise."""

    kind: FatType
    sector_size: int
    sectors: int
    sectors_per_cluster: int
    reserved: int
    fat_sectors: int
    root_entries: int
    clusters: int

    @property
    def cluster_size(self) -> int:
        """Bytes in a cluster."""
        return self.sector_size * self.sectors_per_cluster

    @property
    def root_sectors(self) -> int:
        """The fixed root directory of FAT12 and FAT16."""
        return -(-self.root_entries * DIRECTORY_ENTRY // self.sector_size)

    @property
    def data_start(self) -> int:
        """The sector of cluster 2."""
        return self.reserved + FATS * self.fat_sectors + self.root_sectors

    def offset(self, cluster: int) -> int:
        """Where a cluster begins, in bytes."""
        index = cluster - FIRST_CLUSTER
        return self.data_start * self.sector_size + index * self.cluster_size

    @property
    def size(self) -> int:
        """Bytes in the volume."""
        return self.sectors * self.sector_size


def _fixed(kind: FatType) -> tuple[int, int]:
    """Reserved sectors, and entries of the root directory outside of the clusters."""
    return (32, 0) if kind is FatType.FAT32 else (1, 512)


def _fat_sectors(kind: FatType, clusters: int, sector_size: int) -> int:
    """Sectors of one FAT for so many clusters."""
    return -(-(clusters + FIRST_CLUSTER) * kind.value // (8 * sector_size))


def _layout(kind: FatType, sectors: int, sector_size: int, per_cluster: int) -> Layout | None:
    """The layout of that type and cluster size, if there is one."""
    reserved, root_entries = _fixed(kind)
    root = -(-root_entries * DIRECTORY_ENTRY // sector_size)

    def clusters_beside(fat: int) -> int:
        return max((sectors - reserved - root - FATS * fat) // per_cluster, 0)

    def is_enough(fat: int) -> bool:
        return _fat_sectors(kind, clusters_beside(fat), sector_size) <= fat

    most = _fat_sectors(kind, clusters_beside(0), sector_size)
    fat = 1 + bisect_left(range(1, most), True, key=is_enough)
    clusters = clusters_beside(fat)
    if not kind.min_clusters <= clusters <= kind.max_clusters:
        return None
    return Layout(kind, sector_size, sectors, per_cluster, reserved, fat, root_entries, clusters)


def _aligned(layout: Layout) -> Layout:
    """The same with clusters at multiples of PAGE, or of their size, by more reserved sectors.

    Whole pages are copied faster, and file systems can share them with the files copied.
    The same layout if there would be too few clusters.
    """
    if layout.kind is not FatType.FAT32:
        return layout
    pad = -layout.data_start % (max(PAGE, layout.cluster_size) // layout.sector_size)
    per_cluster = layout.sectors_per_cluster
    clusters = (layout.sectors - layout.data_start - pad) // per_cluster
    if clusters < layout.kind.min_clusters:
        return layout
    return replace(layout, reserved=layout.reserved + pad, clusters=min(clusters, layout.clusters))


def _smallest(kind: FatType, sector_size: int, per_cluster: int, wanted: int) -> Layout | None:
    """The layout of the fewest sectors that has at least `wanted` clusters."""
    clusters = max(wanted, kind.min_clusters)
    if clusters > kind.max_clusters:
        return None
    reserved, root_entries = _fixed(kind)
    fat = _fat_sectors(kind, clusters, sector_size)
    empty = Layout(kind, sector_size, 0, per_cluster, reserved, fat, root_entries, clusters)
    return replace(empty, sectors=empty.data_start + clusters * per_cluster)


def _preferred_cluster(size: int) -> int:
    """The usual cluster size of a FAT32 volume of so many bytes."""
    for limit, cluster in ((260 * MIB, 512), (8 * GIB, 4096), (16 * GIB, 8192), (32 * GIB, 16384)):
        if size <= limit:
            return cluster
    return MAX_CLUSTER


def _cluster_sizes(kind: FatType, size: int, sector_size: int) -> list[int]:
    """Cluster sizes to try, best first."""
    sizes = [sector_size << shift for shift in range(8) if sector_size << shift <= MAX_CLUSTER]
    if kind is not FatType.FAT32:
        return sizes
    preferred = max(_preferred_cluster(size), sector_size)
    return sorted(sizes, key=lambda cluster: (cluster > preferred, abs(cluster - preferred)))


def candidates(sectors: int, sector_size: int, kind: FatType | None = None) -> Iterator[Layout]:
    """Every layout for a volume of that size, best first: FAT32, then FAT16, then FAT12."""
    if sector_size not in SECTOR_SIZES:
        raise UsageError(f"sector size must be one of {SECTOR_SIZES}, not {sector_size}")
    for each in (FatType.FAT32, FatType.FAT16, FatType.FAT12):
        if kind in (None, each) and sectors <= MAX_SECTORS:
            for cluster in _cluster_sizes(each, sectors * sector_size, sector_size):
                layout = _layout(each, sectors, sector_size, cluster // sector_size)
                if layout:
                    aligned = _aligned(layout)
                    yield aligned
                    if aligned.clusters < layout.clusters:
                        yield layout


def choose(
    sectors: int,
    sector_size: int,
    fits: Callable[[Layout], bool],
    kind: FatType | None = None,
) -> Layout | None:
    """The best layout of a volume of that size that has room for the files, if any."""
    return next(filter(fits, candidates(sectors, sector_size, kind)), None)


def smallest(
    sector_size: int, clusters_needed: Callable[[Layout], int], kind: FatType | None = None
) -> Layout | None:
    """The layout of the smallest volume, if any, that has the clusters needed on it.

    Of the layout that `clusters_needed` is given, only the type and the cluster size count.
    """
    found: Layout | None = None
    for each in (FatType.FAT32, FatType.FAT16, FatType.FAT12):
        if kind not in (None, each):
            continue
        for cluster in _cluster_sizes(each, 0, sector_size):
            per_cluster = cluster // sector_size
            probe = _smallest(each, sector_size, per_cluster, 0)
            layout = probe and _smallest(each, sector_size, per_cluster, clusters_needed(probe))
            if (
                layout
                and layout.sectors <= MAX_SECTORS
                and (found is None or layout.sectors < found.sectors)
            ):
                found = layout
    return found
