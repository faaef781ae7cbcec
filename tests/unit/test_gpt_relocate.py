"""A GPT on a larger target, and on sticks whose sectors have another size."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from oracles import run
from writing import MIB, SIZE, Misbehaving, image, make_image, old_stick, pack, write

from efi_image.build.partitions import Table
from efi_image.errors import DoesNotFitError, InputError, UsageError
from efi_image.flash.chunker import GRAIN
from efi_image.formats.gpt.relocate import fit
from efi_image.formats.gpt.structures import ENTRIES, ENTRY_SIZE, GptCopy, PartitionEntry
from efi_image.formats.gpt.types import ESP
from efi_image.formats.gpt.writer import create, pack_primary

__all__ = ["image"]


def test_a_table_for_the_sticks_sectors_is_as_it_was(tmp_path: Path) -> None:
    image = make_image(tmp_path, size=32 * MIB, sector_size=4096)
    stick = old_stick(tmp_path, 32 * MIB)
    write(image, stick, medium=Misbehaving(stick, 4096))
    assert stick.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("table", [Table.GPT, Table.MBR, Table.NONE])
@pytest.mark.parametrize(("own", "sticks"), [(512, 4096), (4096, 512)])
def test_other_sectors_are_refused(own: int, sticks: int, table: Table, tmp_path: Path) -> None:
    image = make_image(tmp_path, table=table, size=32 * MIB, sector_size=own)
    stick = old_stick(tmp_path, 32 * MIB)
    before = stick.read_bytes()
    with pytest.raises(UsageError, match=f"sectors of {own} bytes.*--sector-size {sticks}"):
        write(image, stick, medium=Misbehaving(stick, sticks))
    assert stick.read_bytes() == before


def _move_entries(image: Path, lba: int) -> None:
    """Let the primary array begin at another sector, as `sgdisk --move-main-table` does."""
    run("sgdisk", f"--move-main-table={lba}", image)
    assert struct.unpack_from("<Q", image.read_bytes(), 512 + 72) == (lba,)


@pytest.mark.parametrize("form", ["raw", "gz"])
@pytest.mark.parametrize("lba", [40, 1000])
def test_entries_that_are_elsewhere(lba: int, form: str, tmp_path: Path) -> None:
    """Oracle: sgdisk -v and sfdisk, on a larger stick."""
    image = make_image(tmp_path)
    _move_entries(image, lba)
    stick = old_stick(tmp_path, SIZE + 7 * MIB)
    source = pack(image, "gz") if form == "gz" else image
    if (form, lba) == ("gz", 1000):  # behind the first bytes, which alone are known before
        with pytest.raises(InputError, match="has a GPT that cannot be read"):
            write(source, stick)
        return
    assert write(source, stick).moved_table
    assert "No problems found" in run("sgdisk", "-v", stick)
    assert "GPT PMBR size mismatch" not in run("sfdisk", "--verify", stick)
    assert struct.unpack_from("<Q", stick.read_bytes(), 512 + 72) == (lba,)


@pytest.mark.parametrize(
    ("first", "sectors"), [(1 << 62, 8), ((1 << 64) - 8, 8), (1 << 62, 1 - (1 << 62))]
)
def test_tables_out_of_bounds_are_refused(first: int, sectors: int) -> None:
    entry = PartitionEntry(ESP.guid, ESP.guid, first, first + sectors - 1)
    head = pack_primary(create(1 << 13, 4096, ESP.guid, (entry,))).ljust(GRAIN, b"\0")
    table = GptCopy.unpack(head[4096:8192], 1, 4096, lambda at, count: head[at : at + count])
    assert table is not None
    assert len(table.array) == ENTRIES * ENTRY_SIZE
    with pytest.raises(DoesNotFitError):
        fit(table, head, 64 * MIB, 4096, "stick")
