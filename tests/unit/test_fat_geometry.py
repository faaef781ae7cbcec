"""The geometry of FAT volumes, above all at the limits between the types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efi_image.errors import UsageError
from efi_image.formats.fat.geometry import MARGIN, MIB, FatType, Layout, candidates, choose


def best(sectors: int, sector_size: int = 512) -> Layout:
    layout = choose(sectors, sector_size, lambda _layout: True)
    assert layout
    return layout


@pytest.mark.parametrize(
    ("mib", "sector_size", "kind"),
    [
        (1, 512, FatType.FAT12),
        (16, 512, FatType.FAT16),
        (33, 512, FatType.FAT32),
        (64, 512, FatType.FAT32),
        (64, 4096, FatType.FAT16),
        (299, 4096, FatType.FAT32),
        (2 * 1024 * 1024 - 1, 512, FatType.FAT32),
    ],
)
def test_the_largest_type_that_a_size_allows(mib: int, sector_size: int, kind: FatType) -> None:
    assert best(mib * MIB // sector_size, sector_size).kind is kind


@given(st.integers(40, 1 << 32), st.sampled_from([512, 1024, 2048, 4096]))
def test_every_layout_keeps_the_rules(sectors: int, sector_size: int) -> None:
    for layout in candidates(sectors, sector_size):
        # what a reader computes from the boot sector alone, as the specification says
        data = layout.sectors - layout.reserved - 2 * layout.fat_sectors - layout.root_sectors
        clusters = data // layout.sectors_per_cluster
        assert clusters == layout.clusters
        by_count = (
            FatType.FAT12
            if clusters < 4085
            else FatType.FAT16
            if clusters < 65525
            else FatType.FAT32
        )
        assert by_count is layout.kind
        assert all(abs(clusters - limit) >= MARGIN for limit in (4085, 65525))
        entries = layout.fat_sectors * sector_size * 8 // layout.kind.value
        assert entries >= clusters + 2
        assert layout.cluster_size <= 32 * 1024
        assert layout.sectors_per_cluster & (layout.sectors_per_cluster - 1) == 0


def test_clusters_grow_with_the_volume() -> None:
    sizes = [best(mib * MIB // 512).cluster_size for mib in (64, 1024, 12 * 1024, 100 * 1024)]
    assert sizes == [512, 4096, 8192, 32768]


def test_smaller_clusters_are_taken_where_only_they_hold_it() -> None:
    layout = choose(1024 * MIB // 512, 512, lambda la: la.cluster_size < 4096)
    assert layout
    assert layout.cluster_size == 2048


@pytest.mark.parametrize("sectors", [0, 1, 10, 1 << 33])
def test_no_volume_of_that_size(sectors: int) -> None:
    assert choose(sectors, 512, lambda _layout: True) is None


def test_sector_sizes_that_fat_does_not_know() -> None:
    with pytest.raises(UsageError):
        best(1 << 20, 8192)


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_fat32_files_begin_at_whole_pages(sector_size: int) -> None:
    for size in [*range(300 << 20, 301 << 20, 1 << 16), 5 << 30, 700 << 30]:
        best, *others = candidates(size // sector_size, sector_size, FatType.FAT32)
        assert best.data_start * sector_size % 4096 == 0
        # no cluster is lost for it where all are needed
        same = [each for each in others if each.cluster_size == best.cluster_size]
        assert all(each.clusters > best.clusters for each in same)
