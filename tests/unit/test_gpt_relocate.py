"""Partition tables on sticks whose sectors have another size."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles import check_gpt, run
from writing import (
    MIB,
    SIZE,
    Misbehaving,
    image,
    make_image,
    old_stick,
    write,
)

from efi_image.build.partitions import Table
from efi_image.errors import (
    DoesNotFitError,
    UsageError,
)
from efi_image.flash.chunker import GRAIN
from efi_image.formats.gpt.reader import read_gpt
from efi_image.formats.gpt.relocate import fit
from efi_image.formats.gpt.structures import PartitionEntry
from efi_image.formats.gpt.types import ESP
from efi_image.formats.gpt.writer import create, pack_primary
from efi_image.io.medium import open_raw

__all__ = ["image"]


def test_a_table_is_converted_to_the_sticks_sectors(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    report = write(image, stick, medium=Misbehaving(stick, 4096))
    assert "counts sectors of 4096 bytes now" in report.notes[0]
    check_converted(stick, image, 4096)


def test_a_table_is_converted_to_smaller_sectors(tmp_path: Path) -> None:
    image = make_image(tmp_path, size=32 * MIB, sector_size=4096)
    stick = old_stick(tmp_path, 33 * MIB)
    report = write(image, stick)
    assert "counts sectors of 512 bytes now" in report.notes[0]
    check_converted(stick, image, 512)
    check_gpt(stick)


def check_converted(stick: Path, image: Path, sector_size: int) -> None:
    other = 4096 + 512 - sector_size
    with open_raw(stick) as medium, open_raw(image) as original:
        table, before = read_gpt(medium, sector_size), read_gpt(original, other)
        assert table is not None
        assert table.primary is not None
        assert table.backup is not None
        assert before is not None
        assert before.primary is not None
        for half in (table.primary, table.backup):
            assert half.header.crc_valid
            assert half.entries_crc_valid
            assert half.header.disk_guid == before.primary.header.disk_guid
            places = [(e.first_lba * sector_size, e.sectors * sector_size) for e in half.entries]
            wanted = [(e.first_lba * other, e.sectors * other) for e in before.primary.entries]
            assert places == wanted
            assert half.header.first_usable_lba * sector_size <= places[0][0]
        assert read_gpt(medium, other) is None
        start, size = wanted[0]
        assert medium.read(start, size) == original.read(start, size)


def test_a_table_for_the_sticks_sectors_is_as_it_was(tmp_path: Path) -> None:
    image = make_image(tmp_path, size=32 * MIB, sector_size=4096)
    stick = old_stick(tmp_path, 32 * MIB)
    report = write(image, stick, medium=Misbehaving(stick, 4096))
    assert report.notes == ()
    assert stick.read_bytes() == image.read_bytes()


@pytest.mark.parametrize(
    ("table", "what"),
    [(Table.MBR, "has an MBR that counts 512-byte"), (Table.NONE, "is a FAT volume of 512-byte")],
)
def test_what_cannot_be_converted_is_refused(table: Table, what: str, tmp_path: Path) -> None:
    image = make_image(tmp_path, table=table)
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    with pytest.raises(UsageError, match=what):
        write(image, stick, medium=Misbehaving(stick, 4096))
    assert stick.read_bytes() == before


@pytest.mark.parametrize(
    ("first", "sectors"), [(1 << 62, 8), ((1 << 64) - 8, 8), (1 << 62, 1 - (1 << 62))]
)
def test_tables_out_of_bounds_are_refused(first: int, sectors: int) -> None:
    entry = PartitionEntry(ESP.guid, ESP.guid, first, first + sectors - 1)
    head = pack_primary(create(1 << 13, 4096, ESP.guid, (entry,))).ljust(GRAIN, b"\0")
    with pytest.raises((DoesNotFitError, UsageError)):
        fit(head, 64 * MIB, 512, "stick")


def test_partitions_between_large_sectors_are_refused(image: Path, tmp_path: Path) -> None:
    run("sgdisk", "-d", "1", "-a", "1", "-n", "2:2049:3000", image)
    stick = old_stick(tmp_path, SIZE)
    with pytest.raises(UsageError, match="has a partition at byte 1049088 that does not"):
        write(image, stick, medium=Misbehaving(stick, 4096))
