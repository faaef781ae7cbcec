"""Kinds of image: tables, FAT types, sizes, identities, further partitions."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_image import FILES, judge, make
from trees import tree_of

from efi_image.build.image import Report
from efi_image.build.options import ExtraPartition, ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.build.plan import plan
from efi_image.errors import DoesNotFitError, UsageError
from efi_image.formats.fat import FatType
from efi_image.formats.gpt.types import BY_NAME

MIB = 1 << 20
GUID = UUID("01234567-89ab-cdef-0123-456789abcdef")


class Sources:
    """Where the contents of further partitions are."""

    folder = Path()


@pytest.fixture(autouse=True)
def part_files(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of each test for `extra`; another module that calls it imports this too."""
    folder = tmp_path_factory.mktemp("part_files")
    monkeypatch.setattr(Sources, "folder", folder)


def extra(
    data: bytes, kind: str = "linux", name: str = "", guid: UUID | None = None
) -> ExtraPartition:
    source = Sources.folder / hashlib.sha256(data).hexdigest()
    source.write_bytes(data)
    return ExtraPartition(source, BY_NAME[kind], name, guid)


def part(image: Path, report: Report, number: int) -> bytes:
    place = report.partitions[number]
    return image.read_bytes()[place.offset : place.offset + place.size]


# ---- FAT types and sizes


@pytest.mark.slow
@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("fat", list(FatType))
@pytest.mark.parametrize("minimal", [True, False], ids=["min", "chosen"])
def test_fat_types(tmp_path: Path, fat: FatType, sector_size: int, minimal: bool) -> None:
    minimal = minimal or (fat is FatType.FAT32 and sector_size == 4096)  # 257 MiB are enough
    image = tmp_path / "esp.img"
    report = make(image, fat=fat, sector_size=sector_size, minimal=minimal, table=Table.MBR)
    assert report.fat == fat.name
    judge(image, report, FILES)


@pytest.mark.parametrize("table", list(Table))
@pytest.mark.parametrize("fat", [None, FatType.FAT16, FatType.FAT32])
def test_smallest_cannot_be_smaller(tmp_path: Path, table: Table, fat: FatType | None) -> None:
    image = tmp_path / "esp.img"
    report = make(image, table=table, minimal=True, fat=fat)
    assert image.stat().st_size == report.size
    oracles.check_fat(image, *([report.partitions[0].offset, report.partitions[0].size]
                               if report.partitions else []))  # fmt: skip
    if table is Table.NONE:
        assert make(image, table=table, size=report.size, fat=fat).size == report.size
        with pytest.raises(DoesNotFitError):
            make(image, table=table, size=report.size - 512, fat=fat)
    if fat is None:
        assert report.size < 140_000 + report.partitions[0].offset if report.partitions else 140_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None,
          max_examples=25)  # fmt: skip
@given(st.lists(st.integers(0, 6 * MIB), min_size=1, max_size=6), st.sampled_from([512, 4096]))
def test_smallest_of_any_files(tmp_path: Path, sizes: list[int], sector_size: int) -> None:
    tree = tree_of({f"F{n}": bytes(size) for n, size in enumerate(sizes)})
    options = ResolvedOptions(
        tmp_path / "x.img", minimal=True, table=Table.NONE, sector_size=sector_size
    )
    size = plan(options, tree).size
    given = replace(options, minimal=False, size=size)
    assert plan(given, tree).size == size
    with pytest.raises(DoesNotFitError):
        plan(replace(given, size=size - sector_size), tree)


def test_type_that_no_volume_of_that_size_has(tmp_path: Path) -> None:
    for size, fat, hint in (
        (8 * MIB, FatType.FAT32, "35M is enough"),
        (4096 * MIB, FatType.FAT12, "3M is enough"),
    ):
        with pytest.raises(DoesNotFitError, match=f"on {fat.name}; {hint}"):
            make(tmp_path / "esp.img", size=size, fat=fat)
    with pytest.raises(DoesNotFitError, match="more space than a FAT12 volume can have"):
        make(tmp_path / "esp.img", {"A": bytes(200 * MIB)}, fat=FatType.FAT12)


def test_size_and_smallest_are_not_both(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make(tmp_path / "esp.img", size=64 * MIB, minimal=True)


# ---- identities


def test_given_identities(tmp_path: Path) -> None:
    image = tmp_path / "esp.img"
    other = UUID(bytes_le=bytes(15) + b"1")
    report = make(image, label="MY DISK", volume_serial=0x1234ABCD, disk_guid=GUID,
                  partition_guid=other)  # fmt: skip
    assert (report.label, report.serial) == ("MY DISK", "1234-ABCD")
    listing = oracles.run("mdir", "-i", f"{image}@@1M", "::")
    assert "Volume in drive : is MY DISK" in listing
    assert "1234-ABCD" in listing
    assert str(GUID).upper() in oracles.run("sgdisk", "-p", image)
    assert str(other).upper() in oracles.run("sgdisk", "-i", "1", image)


def test_disk_signature(tmp_path: Path) -> None:
    image = tmp_path / "esp.img"
    make(image, table=Table.MBR, disk_signature=0xCAFE1234)
    assert json.loads(oracles.run("sfdisk", "-J", image))["partitiontable"]["id"] == "0xcafe1234"
    make(image, table=Table.MBR)
    derived = json.loads(oracles.run("sfdisk", "-J", image))["partitiontable"]["id"]
    assert derived not in {"0xcafe1234", "0x00000000"}


# ---- places


@pytest.mark.slow
@pytest.mark.parametrize("table", [Table.GPT, Table.MBR])
@pytest.mark.parametrize("alignment", [512, 4096, 65536, 3 * 512, 16 * MIB])
def test_alignment(tmp_path: Path, table: Table, alignment: int) -> None:
    image = tmp_path / "esp.img"
    report = make(image, table=table, alignment=alignment, partitions=(extra(b"x" * 1000),))
    starts = [place.offset for place in report.partitions]
    assert all(start % alignment == 0 for start in starts)
    assert starts[0] < max(alignment, 17 * 1024) + alignment
    assert "No errors detected" in oracles.run("sfdisk", "--verify", image)
    oracles.check_fat(image, report.partitions[0].offset, report.partitions[0].size)


@pytest.mark.parametrize("alignment", [0, 100, 2 << 30])
def test_no_alignment(tmp_path: Path, alignment: int) -> None:
    with pytest.raises(UsageError, match="--align: must be a multiple of 512"):
        make(tmp_path / "esp.img", alignment=alignment)


# ---- further partitions


@pytest.mark.parametrize("minimal", [True, False], ids=["min", "chosen"])
@pytest.mark.parametrize("table", [Table.GPT, Table.MBR])
def test_further_partitions(tmp_path: Path, table: Table, minimal: bool) -> None:
    image = tmp_path / "disk.img"
    root, swap = os.urandom(2 * MIB + 700), b"swap" * 1000
    partitions = (extra(root, "linux-root-x86-64", "root ω", GUID), extra(swap, "swap"))
    report = make(image, table=table, minimal=minimal, partitions=partitions)
    oracles.check_fat(image, report.partitions[0].offset, report.partitions[0].size)
    for number, data in ((1, root), (2, swap)):
        held = part(image, report, number)
        assert held.startswith(data)
        assert not held[len(data) :].strip(b"\0")
    assert "No errors detected" in oracles.run("sfdisk", "--verify", image)
    shown = json.loads(oracles.run("sfdisk", "-J", image))["partitiontable"]["partitions"]
    assert [row["start"] * 512 for row in shown] == [place.offset for place in report.partitions]
    assert [row["size"] * 512 for row in shown] == [place.size for place in report.partitions]
    if table is Table.GPT:
        assert shown[1]["type"] == str(BY_NAME["linux-root-x86-64"].guid).upper()
        assert (shown[1]["name"], shown[1]["uuid"]) == ("root ω", str(GUID).upper())
        assert len({row["uuid"] for row in shown}) == 3
        report_of_sgdisk = oracles.run("sgdisk", "-v", image)
        assert "No problems found" in report_of_sgdisk
        if not minimal:
            oracles.check_gpt(image)
    else:
        assert [row["type"] for row in shown] == ["ef", "83", "82"]


def test_esp_is_as_large_as_without_them(tmp_path: Path) -> None:
    alone = make(tmp_path / "a.img")
    beside = make(tmp_path / "b.img", partitions=(extra(bytes(10 * MIB)),))
    assert beside.partitions[0].size == alone.partitions[0].size
    assert beside.size == alone.size + 10 * MIB


def test_their_content_shows_in_derived_identities(tmp_path: Path) -> None:
    one = make(tmp_path / "a.img", partitions=(extra(b"1"),))
    two = make(tmp_path / "a.img", partitions=(extra(b"2"),))
    assert one.serial != two.serial
    assert one.partitions[1].guid != two.partitions[1].guid


def test_partitions_that_cannot_be(tmp_path: Path) -> None:
    one = extra(b"1")
    for options, what in (
        ({"table": Table.NONE, "partitions": (one,)}, "needs a partition table"),
        ({"table": Table.MBR, "partitions": (one,) * 4}, "4 partitions at most"),
        ({"partitions": (one,) * 128}, "128 partitions at most"),
        ({"table": Table.MBR, "partitions": (extra(b"", "apfs"),)}, "has no partition type apfs"),
        ({"partitions": (extra(b"", "linux", "x" * 37),)}, "longer than 36 UTF-16 units"),
    ):
        with pytest.raises(UsageError, match=f"--partition: .*{what}"):
            make(tmp_path / "esp.img", **options)
    assert list(tmp_path.iterdir()) == []


def test_full_table(tmp_path: Path) -> None:
    image = tmp_path / "esp.img"
    make(image, alignment=4096, partitions=tuple(extra(bytes([n])) for n in range(127)))
    assert len(re.findall(r"^ +\d+ ", oracles.run("sgdisk", "-p", image), re.M)) == 128
    oracles.run("sfdisk", "--verify", image)
