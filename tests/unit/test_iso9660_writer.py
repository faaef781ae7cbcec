"""ISO images: by xorriso, pycdlib, and the tools for the partition table in the same image."""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import oracles
import pycdlib
import pytest
from test_compose import extra, part, part_files
from test_image import FILES, make
from test_make import make as run_make

from efi_image.build.partitions import Table
from efi_image.errors import DoesNotFitError, UsageError
from efi_image.formats.iso9660.structures import FIRST_DESCRIPTOR, SECTOR
from efi_image.formats.iso9660.writer import CATALOG, END, MAX_EXTENT, ROOT, pack_file_system

__all__ = ["part_files"]  # a fixture

MIB = 1 << 20


def read(image: Path) -> tuple[bytes, Any]:
    """The file EFI.IMG, and the initial entry of the boot catalog, as pycdlib reads them."""
    iso = pycdlib.PyCdlib()
    iso.open(str(image))
    try:
        data = BytesIO()
        iso.get_file_from_iso_fp(data, iso_path="/EFI.IMG;1")
        assert iso.eltorito_boot_catalog
        return data.getvalue(), iso.eltorito_boot_catalog.initial_entry
    finally:
        iso.close()


@pytest.mark.parametrize("minimal", [True, False], ids=["min", "chosen"])
def test_iso(tmp_path: Path, minimal: bool) -> None:
    image = tmp_path / "disk.iso"
    report = make(image, table=Table.ISO, minimal=minimal, label="MY DISK", seconds=1_700_000_000)
    assert report.size % SECTOR == 0
    place = report.partitions[0]
    esp = part(image, report, 0)
    data, entry = read(image)
    assert data == esp
    assert entry.load_rba * SECTOR == place.offset
    assert entry.sector_count in {place.size // 512, 0}
    assert (entry.sector_count == 0) == (place.size >= 32 * MIB)
    shown = oracles.run("xorriso", "-indev", image, "-report_el_torito", "plain",
                        "-report_system_area", "plain")  # fmt: skip
    assert re.search(r"El Torito boot img : +1 +UEFI +y +none", shown)
    assert "El Torito img path :   1  /EFI.IMG" in shown
    assert "GPT partition path :   1  /EFI.IMG" in shown
    assert "Volume id    : 'MY_DISK'" in shown
    assert f"ISO image size/512 : {report.size // 512}" in shown
    listing = oracles.run("xorriso", "-indev", image, "-lsl", "/")
    assert "Nov 14  2023" in listing
    oracles.check_fat(image, place.offset, place.size)
    assert oracles.pyfatfs_files(image, place.offset) == FILES
    assert "No problems found" in oracles.run("sgdisk", "-v", image)
    assert "No errors detected" in oracles.run("sfdisk", "--verify", image)


def test_iso_with_further_partitions(tmp_path: Path) -> None:
    image = tmp_path / "disk.iso"
    root = os.urandom(MIB + 5)
    report = make(image, table=Table.ISO, partitions=(extra(root, "linux-root-x86-64"),))
    assert part(image, report, 1).startswith(root)
    assert read(image)[0] == part(image, report, 0)
    oracles.check_gpt(image)


def test_smallest_alignment(tmp_path: Path) -> None:
    report = make(tmp_path / "a.iso", table=Table.ISO, alignment=2048, minimal=True)
    assert report.partitions[0].offset == END * SECTOR
    assert read(tmp_path / "a.iso")[0] == part(tmp_path / "a.iso", report, 0)


def test_suffix_and_table(
    build_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, options, table in (("a.iso", [], "iso"), ("a.ISO.gz", [], "iso"),
                                 ("a.img", [], "gpt"),
                                 ("a.iso", ["--table", "gpt"], "gpt"),
                                 ("a.img", ["--table", "iso"], "iso")):  # fmt: skip
        assert run_make(build_dir, tmp_path / name, *options, "--json") == 0
        assert f'"table": "{table}"' in capsys.readouterr().out
    assert (tmp_path / "a.ISO.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_what_cannot_be(tmp_path: Path) -> None:
    image = tmp_path / "a.iso"
    for option, value, what in (
        ("sector_size", 4096, "--sector-size: must be 512"),
        ("alignment", 512, "--align: must be a multiple of 2048"),
        ("size", 8 * MIB + 512, "--size: must be a multiple of 2048"),
    ):
        options: dict[str, object] = {option: value}
        with pytest.raises(UsageError, match=what):
            make(image, FILES, table=Table.ISO, **options)


@pytest.mark.parametrize("seconds", [0, 1 << 40])
def test_times_that_it_cannot_hold(tmp_path: Path, seconds: int) -> None:
    make(tmp_path / "a.iso", table=Table.ISO, seconds=seconds)
    read(tmp_path / "a.iso")


def file_system(size: int, volume: int) -> bytes:
    return pack_file_system(size=size, start=MIB, volume=volume, label="ZPP", seconds=0)


def test_large_volume_has_several_extents() -> None:
    """The last two bytes of each record's name, and the sizes, add up to the volume."""
    volume = 2 * MAX_EXTENT + 4096
    sectors = file_system(volume + 3 * MIB, volume)
    assert len(sectors) == (END - FIRST_DESCRIPTOR) * SECTOR
    root = sectors[(ROOT - FIRST_DESCRIPTOR) * SECTOR :]
    found, position = [], 0
    while root[position]:
        record = root[position : position + root[position]]
        found.append((record[33 : 33 + record[32]], int.from_bytes(record[2:6], "little"),
                      int.from_bytes(record[10:14], "little"), record[25]))  # fmt: skip
        position += root[position]
    first = MIB // SECTOR
    assert found[2:] == [
        (b"BOOT.CAT;1", CATALOG, SECTOR, 0),
        (b"EFI.IMG;1", first, MAX_EXTENT, 0x80),
        (b"EFI.IMG;1", first + MAX_EXTENT // SECTOR, MAX_EXTENT, 0x80),
        (b"EFI.IMG;1", first + 2 * MAX_EXTENT // SECTOR, 4096, 0),
    ]
    with pytest.raises(DoesNotFitError):
        file_system(1 << 40, 1 << 39)
