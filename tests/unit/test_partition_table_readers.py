"""Partition tables of other makers, compared with sgdisk and sfdisk; and faults put into them."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from uuid import UUID

import oracles
import pytest
from foreign import GPT_SCRIPT, MIB, in_memory, mkfs, patched, sfdisk
from hypothesis import given, settings
from hypothesis import strategies as st

from efi_image.errors import InputError
from efi_image.formats.disk import Scheme, parse_place, read_disk
from efi_image.formats.gpt.reader import read_gpt
from efi_image.formats.gpt.structures import Gpt, PartitionEntry
from efi_image.formats.gpt.types import ESP
from efi_image.formats.gpt.writer import create, pack_backup, pack_primary
from efi_image.formats.mbr import MAX_LOGICAL, read_mbr
from efi_image.io.medium import open_raw


def test_gpt_is_as_sgdisk_and_sfdisk_see_it(tmp_path: Path) -> None:
    image = sfdisk(tmp_path / "gpt.img", GPT_SCRIPT)
    told = json.loads(oracles.run("sfdisk", "--json", image))["partitiontable"]
    with open_raw(image) as medium:
        table = read_gpt(medium)
    assert table
    assert table.primary
    assert table.backup
    assert table.primary.usable
    assert table.backup.usable
    assert table.sector_size == 512
    header = table.best.header
    assert str(header.disk_guid).upper() == told["id"]
    assert (header.first_usable_lba, header.last_usable_lba) == (told["firstlba"], told["lastlba"])
    assert table.primary.entries == table.backup.entries
    for entry, row in zip(table.best.entries, told["partitions"], strict=True):
        assert (entry.first_lba, entry.sectors) == (row["start"], row["size"])
        assert str(entry.type_guid).upper() == row["type"]
        assert str(entry.guid).upper() == row["uuid"]
        assert entry.name == row.get("name", "")
        shown = oracles.run("sgdisk", "-i", str(entry.number), image)
        flags = re.search(r"Attribute flags: ([0-9A-F]+)", shown)
        assert flags
        assert entry.attributes == int(flags[1], 16)
    assert [e.type_name for e in table.best.entries] == [
        "EFI system partition",
        "Linux",
        "BIOS boot",
    ]
    assert table.best.entries[0].attributes == 4


def own(sector_size: int) -> tuple[Gpt, bytes]:
    ids = UUID(bytes_le=bytes(15) + b"1"), UUID(bytes_le=bytes(15) + b"2")
    step = MIB // sector_size
    esp = PartitionEntry(ESP.guid, ids[1], step, 3 * step - 1, "a name")
    gpt = create(4 * step, sector_size, ids[0], (esp,))
    backup = pack_backup(gpt)
    data = pack_primary(gpt).ljust(4 * MIB - len(backup), b"\0") + backup
    assert len(data) == 4 * MIB
    return gpt, data


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_sector_size_is_found(sector_size: int) -> None:
    gpt, data = own(sector_size)
    with in_memory(data) as medium:
        disk = read_disk(medium)
    assert disk.scheme is Scheme.GPT
    assert disk.sector_size == sector_size
    (partition,) = disk.partitions
    assert (partition.start, partition.size) == (MIB, gpt.best.entries[0].sectors * sector_size)
    assert partition.is_esp
    assert disk.mbr
    assert disk.mbr.is_protective


@pytest.mark.parametrize("offset", [512, 512 + 16, 512 + 40, 512 + 88, 1024 + 20])
def test_a_damaged_primary_gives_way_to_the_backup(offset: int) -> None:
    _, data = own(512)
    with in_memory(patched(data, (offset, b"\x77"))) as medium:
        table = read_gpt(medium)
        assert len(read_disk(medium).partitions) == 1
    assert table
    assert table.backup
    assert table.best is table.backup
    if offset != 512:
        assert table.primary
        assert not table.primary.usable


def test_a_backup_that_is_not_at_the_end() -> None:
    _, data = own(512)
    with in_memory(data + bytes(MIB)) as medium:
        table = read_gpt(medium)
    assert table
    assert table.backup
    assert table.backup.lba == 4 * MIB // 512 - 1


@pytest.mark.parametrize(
    ("offset", "value", "fault"),
    [
        (80, 0xFFFFFFFF, "entries are more than are read"),
        (84, 0, "entries of 0 bytes"),
        (84, 0xFFFFFFF8, "entries are more than are read"),
        (72, 1 << 60, "cannot be read"),
    ],
)
def test_lengths_are_not_trusted(offset: int, value: int, fault: str) -> None:
    _, data = own(512)
    size = "<Q" if offset == 72 else "<I"
    with in_memory(patched(data, (512 + offset, struct.pack(size, value)))) as medium:
        table = read_gpt(medium)
    assert table
    assert table.primary
    assert fault in table.primary.fault


def test_partitions_outside_of_the_image_are_told_and_not_read() -> None:
    _, data = own(512)
    with in_memory(patched(data, (1024 + 40, struct.pack("<Q", 1 << 62)))[: 2 * MIB]) as medium:
        disk = read_disk(medium)
        assert not disk.has_volume(disk.partitions[0])
        with pytest.raises(InputError, match="ends at byte"):
            disk.medium_of(disk.partitions[0])


MBR_SCRIPT = """label: dos
label-id: 0x12345678
size=8MiB, type=ef, bootable
size=3MiB, type=83
size=4MiB, type=83
size=20MiB, type=5
size=2MiB, type=c
size=3MiB, type=83
"""


def test_mbr_with_logical_partitions_is_as_sfdisk_sees_it(tmp_path: Path) -> None:
    image = sfdisk(tmp_path / "mbr.img", MBR_SCRIPT)
    told = json.loads(oracles.run("sfdisk", "--json", image))["partitiontable"]
    with open_raw(image) as medium:
        table = read_mbr(medium)
        disk = read_disk(medium)
    assert table.disk_signature == int(told["id"], 16)
    rows = sorted((*table.primary, *table.logical), key=lambda p: p.number)
    assert [(p.number, p.first_lba, p.sectors, f"{p.os_type:x}", p.active) for p in rows] == [
        (int(row["node"].removeprefix(str(image))), row["start"], row["size"], row["type"],
         row.get("bootable", False))
        for row in told["partitions"]
    ]  # fmt: skip
    assert [p.name for p in disk.partitions] == [str(p.number) for p in rows if not p.is_extended]
    assert disk.partitions[0].is_esp
    assert table.fault == ""


def test_logical_partitions_in_a_circle(tmp_path: Path) -> None:
    data = sfdisk(tmp_path / "mbr.img", MBR_SCRIPT).read_bytes()
    with in_memory(data) as medium:
        extended = next(p for p in read_mbr(medium).primary if p.is_extended)
    # the second record of the first table leads to itself
    at = extended.first_lba * 512 + 446 + 16
    with in_memory(patched(data, (at + 8, struct.pack("<I", 0)))) as medium:
        table = read_mbr(medium)
    assert len(table.logical) == 1
    assert table.fault == "the chain of logical partitions leads back into itself"


def test_logical_partitions_without_end() -> None:
    data = bytearray(MIB)
    for sector in range(MIB // 512):
        rows = struct.pack("<B3xB3xII", 0, 0x83, 1, 1) + struct.pack("<B3xB3xII", 0, 5, sector, 1)
        data[sector * 512 + 446 : sector * 512 + 478] = rows
        data[sector * 512 + 510 : sector * 512 + 512] = b"\x55\xaa"
    data[446:462] = struct.pack("<B3xB3xII", 0, 5, 1, MIB // 512)
    with in_memory(bytes(data)) as medium:
        table = read_mbr(medium)
    assert len(table.logical) == MAX_LOGICAL
    assert "more than 128" in table.fault


def test_a_superfloppy_is_no_mbr(tmp_path: Path) -> None:
    image = mkfs(tmp_path / "fat.img", 2 * MIB)
    with open_raw(image) as medium:
        disk = read_disk(medium)
        assert disk.scheme is Scheme.WHOLE
        assert disk.volume(disk.pick()).format == "FAT12"
        with pytest.raises(InputError, match="has no partition '3'; it has fat"):
            disk.pick("3")


def test_fat_in_an_mbr_of_a_disk_with_large_sectors(tmp_path: Path) -> None:
    volume = mkfs(tmp_path / "fat.img", 300 * MIB, "-S", "4096", "-F", "32", "-h", "256")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(301 * MIB)
        file.write(bytes(446) + struct.pack("<B3xB3xII", 0, 0x0C, 256, 300 * 256) + bytes(48))
        file.write(b"\x55\xaa")
        file.seek(MIB)
        with volume.open("rb") as source:
            file.write(source.read(4 * MIB))
    with open_raw(image) as medium:
        disk = read_disk(medium)
        assert disk.sector_size == 4096
        assert disk.partitions[0].start == MIB
        assert disk.volume(disk.pick("1")).format == "FAT32"


def test_nothing_that_is_known() -> None:
    with in_memory(bytes(MIB)) as medium:
        disk = read_disk(medium)
        assert disk.scheme is Scheme.UNKNOWN
        with pytest.raises(InputError, match="has no FAT or ISO 9660 volume"):
            disk.pick()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("disk.img", ("disk.img", "")),
        ("disk.img:2", ("disk.img", "2")),
        ("a:b/disk.img", ("a:b/disk.img", "")),
        ("a:b/disk.img:esp", ("a:b/disk.img", "esp")),
        (":1", (":1", "")),
    ],
)
def test_places(text: str, place: tuple[str, str]) -> None:
    assert parse_place(text) == place


def test_a_colon_may_be_part_of_the_name(tmp_path: Path) -> None:
    image = tmp_path / "disk:1"
    image.touch()
    assert parse_place(str(image)) == (str(image), "")


CHANGES = st.lists(
    st.tuples(st.integers(0, 1024 + 256), st.binary(min_size=1, max_size=8)), max_size=8
)


@pytest.mark.slow
@given(changes=CHANGES, sector_size=st.sampled_from([512, 4096]))
@settings(max_examples=100, deadline=None)
def test_a_damaged_table_never_crashes(changes: list[tuple[int, bytes]], sector_size: int) -> None:
    _, data = own(sector_size)
    with in_memory(patched(data, *changes)) as medium:
        disk = read_disk(medium)
        for partition in disk.partitions:
            disk.has_volume(partition)
