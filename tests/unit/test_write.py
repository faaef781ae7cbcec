"""Writing to regular files: every form of image, every kind of table."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles import check_gpt
from writing import (
    FORMS,
    MIB,
    PAYLOAD,
    SIZE,
    assert_whole,
    image,
    make_image,
    old_stick,
    pack,
    write,
)

from efi_image.build.partitions import Table
from efi_image.errors import (
    DoesNotFitError,
    OutputError,
)
from efi_image.flash.chunker import GRAIN
from efi_image.flash.options import Phase, WriteOptions
from efi_image.flash.session import Session
from efi_image.flash.source import open_source
from efi_image.flash.target import open_file

__all__ = ["image"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written(form: str, image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + 7 * MIB)
    report = write(FORMS[form](image), stick)
    assert_whole(image, stick)
    assert report.size == SIZE
    assert report.moved_table
    assert report.verified == report.written + report.zeroed
    assert PAYLOAD < report.written < PAYLOAD + MIB


def test_a_stick_of_the_images_size_is_the_image(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    report = write(image, stick)
    assert not report.moved_table
    assert stick.read_bytes() == image.read_bytes()


@pytest.mark.slow
def test_a_packed_image_fills_the_stick(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    write(pack(image, "xz"), stick)
    assert stick.read_bytes() == image.read_bytes()


def test_a_new_file_gets_the_images_size(image: Path, tmp_path: Path) -> None:
    stick = tmp_path / "new.img"
    target = open_file(stick, SIZE)
    with open_source(image) as source:
        report = Session(source, target, WriteOptions(image, str(stick))).write()
    target.close()
    assert stick.read_bytes() == image.read_bytes()
    assert report.zeroed == 0
    assert stick.stat().st_blocks * 512 < PAYLOAD + 2 * MIB


def test_a_new_file_needs_a_size(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist, and the image's size is unknown"):
        open_file(tmp_path / "new.img", None)
    assert not (tmp_path / "new.img").exists()


@pytest.mark.parametrize("table", [Table.MBR, Table.NONE, Table.ISO])
def test_other_tables(table: Table, tmp_path: Path) -> None:
    image = make_image(tmp_path, table=table)
    stick = old_stick(tmp_path, SIZE + 3 * MIB)
    write(image, stick)
    wanted, found = image.read_bytes(), stick.read_bytes()
    if table is Table.ISO:
        check_gpt(stick)
        assert found[GRAIN : SIZE - 33 * 512] == wanted[GRAIN : -33 * 512]
        assert found[16 * 2048 : GRAIN] == wanted[16 * 2048 : GRAIN]
    else:
        assert found[:SIZE] == wanted


def test_a_size_that_is_no_whole_sector(tmp_path: Path) -> None:
    image = tmp_path / "odd.img"
    image.write_bytes(os.urandom(3 * MIB + 5))
    stick = old_stick(tmp_path, 4 * MIB + 300)
    report = write(image, stick, raw_bytes=True)
    assert report.size == 3 * MIB + 5
    assert stick.read_bytes()[: 3 * MIB + 5] == image.read_bytes()


@pytest.mark.parametrize("suffix", ["", "zst"])
def test_a_stick_that_is_too_small(suffix: str, image: Path, tmp_path: Path) -> None:
    packed = pack(image, suffix) if suffix else image
    stick = old_stick(tmp_path, 4 * MIB)
    before = stick.read_bytes()
    with pytest.raises(DoesNotFitError):
        write(packed, stick)
    assert stick.read_bytes() == before  # the table tells where its partitions end


def test_old_content_does_not_show_in_holes(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    assert write(image, stick).zeroed > 8 * MIB


def test_holes_are_left_alone_when_asked(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    assert write(image, stick, skip_holes=True).zeroed == 0
    hole = slice(SIZE - 4 * MIB, SIZE - MIB)
    assert stick.read_bytes()[hole] == before[hole]
    assert_whole(image, stick, holes=False)


def test_labels_at_the_end_are_cleared(tmp_path: Path) -> None:
    """Such as those of RAID (64 KiB before the end) and ZFS (512 KiB)."""
    image = make_image(tmp_path, table=Table.NONE)
    stick = old_stick(tmp_path, SIZE + 8 * MIB + 512)
    write(image, stick)
    assert not any(stick.read_bytes()[-MIB:])
    for size in (2 * GRAIN, 3 * GRAIN):
        image.write_bytes(b"x" * size)
        stick = old_stick(tmp_path, size)
        write(image, stick, raw_bytes=True)
        assert stick.read_bytes() == image.read_bytes()


def test_parts_of_a_packed_image(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    with open_source(pack(image, "zst")) as source:
        for offset, count in ((0, 10), (MIB - 3, 3 * MIB), (SIZE - 5, 5)):
            assert source.part(offset, count) == data[offset : offset + count]


class Told:
    """Keeps what progress tells."""

    def __init__(self) -> None:
        self.steps: dict[Phase, list[tuple[int, int]]] = {phase: [] for phase in Phase}

    def watch(self, phase: Phase) -> Callable[[int, int], None]:
        return lambda done, total: self.steps[phase].append((done, total))


def test_progress_is_told(image: Path, tmp_path: Path) -> None:
    for packed in (image, pack(image, "gz")):
        told = Told()
        target = open_file(old_stick(tmp_path, SIZE), None)
        with open_source(packed) as source:
            options = WriteOptions(packed, target.name)
            Session(source, target, options, told.watch).write()
        target.close()
        assert not told.steps.pop(Phase.CAPACITY_TEST)
        for steps in told.steps.values():
            assert steps
            assert all(0 < done <= total for done, total in steps)
            assert [done for done, _ in steps] == sorted(done for done, _ in steps)
