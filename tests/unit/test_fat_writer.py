"""Whole FAT volumes, judged by fsck.fat, mtools and pyfatfs."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efi_image.errors import DoesNotFitError, FatNameError
from efi_image.formats.fat import (
    FatType,
    Tree,
    Volume,
    VolumeContents,
    VolumeIdentity,
    parse_path,
    plan,
)
from efi_image.formats.fat import writer as volumes
from efi_image.formats.fat.directory import Timestamp
from efi_image.formats.fat.geometry import choose
from efi_image.formats.fat.names import fault_of, fold
from efi_image.io.sink import Sink
from efi_image.io.source import BytesSource

FILES = {
    "EFI/BOOT/BOOTX64.EFI": bytes(range(256)) * 400,
    "EFI/zpp/zpp.conf": b"hypervisor = on\n",
    "EFI/zpp/a long name with ümläuts and 漢字.txt": b"y" * 5000,
    "empty.txt": b"",
    "EFI/one cluster": b"z" * 512,
}


def contents_of(files: Mapping[str, bytes]) -> VolumeContents:
    tree = Tree()
    for path, data in files.items():
        tree.add(parse_path(path), BytesSource(path, data))
    return VolumeContents(tree)


def write(
    image: Path, files: Mapping[str, bytes], sectors: int, sector_size: int = 512,
    kind: FatType | None = None, seconds: int = 0,
) -> Volume:  # fmt: skip
    contents = contents_of(files)
    layout = choose(sectors, sector_size, contents.fits, kind)
    assert layout
    volume = plan(contents, VolumeIdentity(0x12345678, "ZPP", seconds), layout)
    with image.open("wb") as file:
        sink = Sink(file.fileno(), image.name)
        volume.write(sink)
        sink.finish()
    assert image.stat().st_size == sectors * sector_size
    return volume


def judge(image: Path, files: Mapping[str, bytes], volume: Volume, tmp_path: Path) -> None:
    """All readers see these files, these bytes, and no fault."""
    report = oracles.check_fat(image)
    assert f"{volume.used}/{volume.layout.clusters} clusters" in report
    assert oracles.mtools_paths(image) == set(files)
    for path, data in files.items():
        assert oracles.mtools_read(image, path, tmp_path / "read") == data
    assert oracles.pyfatfs_files(image) == dict(files)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sectors", "sector_size", "kind"),
    [
        (400, 512, FatType.FAT12),
        (4100, 512, FatType.FAT12),
        (5000, 512, FatType.FAT16),
        (65535, 512, FatType.FAT16),
        (65536, 512, FatType.FAT16),
        (70000, 512, FatType.FAT32),
        (131072, 512, FatType.FAT32),
        (655360, 512, FatType.FAT32),
        (200, 4096, FatType.FAT12),
        (16384, 4096, FatType.FAT16),
        (80000, 4096, FatType.FAT32),
        (40000, 2048, FatType.FAT16),
    ],
)
def test_volume_of_each_type(tmp_path: Path, sectors: int, sector_size: int, kind: FatType) -> None:
    image = tmp_path / "volume.img"
    volume = write(image, FILES, sectors, sector_size)
    assert volume.layout.kind is kind
    judge(image, FILES, volume, tmp_path)


def test_names_outside_of_the_basic_plane(tmp_path: Path) -> None:
    """mtools shows such characters as two underscores; pyfatfs reads them."""
    files = {"\U0001f600/\U0001f680.txt": b"rocket"}
    image = tmp_path / "volume.img"
    write(image, files, 8000)
    oracles.check_fat(image)
    assert oracles.pyfatfs_files(image) == files


def limits() -> list[int]:
    """Volume sizes around each change of type or cluster size that choose() makes."""
    sizes, before = [], None
    for sectors in [*range(4000, 5000, 8), *range(65000, 68000, 8)]:
        layout = choose(sectors, 512, contents_of({}).fits)
        assert layout
        now = (layout.kind, layout.cluster_size)
        if before not in (None, now):
            sizes += [sectors - 8, sectors]
        before = now
    return sizes


def test_volumes_on_both_sides_of_each_limit(tmp_path: Path) -> None:
    image = tmp_path / "volume.img"
    kinds = set()
    for sectors in limits():
        volume = write(image, FILES, sectors)
        kinds.add(volume.layout.kind)
        oracles.check_fat(image)
        assert oracles.mtools_paths(image) == set(FILES)
    assert kinds == set(FatType)


@pytest.mark.parametrize("kind", list(FatType))
def test_a_type_can_be_asked_for(tmp_path: Path, kind: FatType) -> None:
    volume = write(tmp_path / "v.img", FILES, 70000, kind=kind)
    assert volume.layout.kind is kind
    judge(tmp_path / "v.img", FILES, volume, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("sectors", [4100, 20000, 70000])
def test_full_to_the_last_cluster(tmp_path: Path, sectors: int) -> None:
    image = tmp_path / "volume.img"
    layout = write(image, {}, sectors).layout
    root = 1 if layout.kind is FatType.FAT32 else 0
    files = {"FULL.BIN": os.urandom((layout.clusters - root) * layout.cluster_size)}
    volume = write(image, files, sectors)
    assert volume.used == volume.layout.clusters
    judge(image, files, volume, tmp_path)
    more = contents_of({**files, "MORE.BIN": bytes(1 << 17)})
    assert choose(sectors, 512, more.fits, layout.kind) is None


@pytest.mark.slow
def test_many_colliding_names_in_one_directory(tmp_path: Path) -> None:
    files = {f"many/module-{number:05}-driver.efi": b"%d" % number for number in range(20_000)}
    image = tmp_path / "volume.img"
    volume = write(image, files, 131072)
    oracles.check_fat(image)
    assert oracles.mtools_paths(image) == set(files)
    assert volume.layout.kind is FatType.FAT32


def test_directory_limit(tmp_path: Path) -> None:
    files = {f"many/{number:05}{'x' * 40}": b"" for number in range(14_000)}
    with pytest.raises(DoesNotFitError, match="directory entries") as caught:
        write(tmp_path / "volume.img", files, 131072)
    assert caught.value.exit_code == 5


def test_fixed_root_directory_limit(tmp_path: Path) -> None:
    """FAT12 and FAT16 have 512 entries there; FAT32 as many as elsewhere."""
    files = {f"{number:05}": b"" for number in range(511)}
    volume = write(tmp_path / "v.img", files, 20000)
    judge_paths = oracles.mtools_paths(tmp_path / "v.img")
    assert judge_paths == set(files)
    assert volume.layout.kind is FatType.FAT16
    files["more"] = b""
    assert choose(20000, 512, contents_of(files).fits) is None
    write(tmp_path / "v.img", files, 70000)
    assert oracles.mtools_paths(tmp_path / "v.img") == set(files)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, volumes.FAT_KEPT])
def test_chains_longer_than_a_piece_of_the_fat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(volumes, "FAT_KEPT", kept)
    files = {"A.BIN": os.urandom(80_000 * 512), "B.BIN": b"b" * 600, "C.BIN": b"c" * 1024}
    image = tmp_path / "volume.img"
    volume = write(image, files, 131072)
    judge(image, files, volume, tmp_path)


@pytest.mark.parametrize("sectors", [20000, 70000, 600_000])
def test_large_files_begin_where_they_are_copied_fastest(tmp_path: Path, sectors: int) -> None:
    files = {f"{n}.BIN": os.urandom(volumes.LARGE + 1000 * n) for n in (0, 1, 2)} | FILES
    image = tmp_path / "volume.img"
    volume = write(image, files, sectors)
    judge(image, files, volume, tmp_path)
    starts = [volume.layout.offset(f.first_cluster) for f in volume.contents.files
              if f.size >= volumes.LARGE]  # fmt: skip
    if volume.layout.kind is FatType.FAT32:
        assert [start % volumes.LARGE_UNIT for start in starts] == [0, 0, 0]
        assert volume.end > volume.used + 2
    assert starts == sorted(starts)


@pytest.mark.slow
def test_no_cluster_is_left_out_where_there_is_no_room(tmp_path: Path) -> None:
    files = {"A.BIN": os.urandom(volumes.LARGE), "B.BIN": b"b"}
    image = tmp_path / "volume.img"
    layout = write(image, files, 70000).layout
    spare = layout.clusters - 1 - -(-volumes.LARGE // layout.cluster_size) - 1
    files["C.BIN"] = os.urandom(spare * layout.cluster_size)
    volume = write(image, files, 70000)
    assert volume.end == volume.used + 2 == layout.clusters + 2
    judge(image, files, volume, tmp_path)


def test_files_are_holes_where_they_are_zero(tmp_path: Path) -> None:
    image = tmp_path / "volume.img"
    write(image, {"ZERO.BIN": bytes(20 << 20)}, 131072)
    assert image.stat().st_blocks * 512 < 4 << 20
    assert oracles.pyfatfs_files(image) == {"ZERO.BIN": bytes(20 << 20)}


def test_names_that_differ_in_case_only() -> None:
    tree = Tree()
    tree.add(("EFI", "Boot", "a"), BytesSource("1", b""))
    tree.add(("efi", "boot", "b"), BytesSource("2", b""))
    with pytest.raises(FatNameError, match="differs only in case"):
        tree.add(("EFI", "BOOT", "A"), BytesSource("3", b""))
    with pytest.raises(FatNameError, match="is there already"):
        tree.add(("EFI", "BOOT", "a"), BytesSource("3", b""))
    with pytest.raises(FatNameError, match="a file and a directory"):
        tree.add(("EFI", "BOOT", "a", "c"), BytesSource("3", b""))
    with pytest.raises(FatNameError):
        tree.add(("EFI", "boot"), BytesSource("3", b""))


class _Huge:
    """A source that says it is larger than FAT's largest file."""

    name = "huge.bin"
    size = 1 << 32

    def chunks(self) -> list[memoryview]:
        raise AssertionError("must not be read")


def test_file_of_four_gib() -> None:
    with pytest.raises(DoesNotFitError, match="4 GiB"):
        Tree().add(("huge.bin",), _Huge())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1980-01-01 +0?0:00"),  # the hour is padded or not, by the version of mdir
        (1700000000, "2023-11-14 +22:13"),
        (1 << 40, "2107-12-31 +23:59"),
    ],
)
def test_times(tmp_path: Path, seconds: int, shown: str) -> None:
    image = tmp_path / "volume.img"
    write(image, {"A.TXT": b"a"}, 4000, seconds=seconds)
    assert re.search(shown, oracles.run("mdir", "-i", image, "::"))


def test_stamp_is_in_fat_range() -> None:
    assert Timestamp.of(-5) == Timestamp.of(0) == Timestamp(0x21, 0)


def test_boot_sector_fields(tmp_path: Path) -> None:
    """What firmware and systems look at, at the offsets of the specification."""
    image = tmp_path / "volume.img"
    volume = write(image, FILES, 131072)
    boot = image.read_bytes()[: 8 * 512]
    assert boot[:1] == b"\xeb"
    assert boot[510:512] == boot[510 + 6 * 512 : 512 + 6 * 512] == b"\x55\xaa"
    assert boot[:1024] == boot[6 * 512 : 8 * 512]
    assert struct.unpack_from("<HH", boot, 24) == (63, 255)
    assert struct.unpack_from("<I", boot, 67) == (0x12345678,)
    assert boot[71:90] == b"ZPP        FAT32   "
    lead, free, following = struct.unpack_from("<4s484xII", boot, 512)
    assert lead == b"RRaA"
    assert free == volume.layout.clusters - volume.used
    assert following == volume.used + 2


NAME = st.text(
    st.one_of(
        st.sampled_from("aAbB~1. _+[]"),
        st.characters(codec="utf-8", min_codepoint=0x20, max_codepoint=0x2FFF, categories=["L"]),
    ),
    min_size=1,
    max_size=30,
).filter(lambda name: not fault_of(name) and name == name.strip())


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(NAME, min_size=1, max_size=30, unique_by=fold))
def test_any_names_are_read_back(tmp_path: Path, names: list[str]) -> None:
    files = {f"d/{name}": name.encode() for name in names}
    image = tmp_path / "volume.img"
    write(image, files, 8000)
    oracles.check_fat(image)
    assert oracles.pyfatfs_files(image) == files
