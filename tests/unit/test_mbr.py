"""The master boot record, judged by sfdisk, and its CHS addresses by their definition."""

from __future__ import annotations

import json
from pathlib import Path

import oracles
import pytest

from efi_image.formats.mbr import Mbr, PartitionRecord, chs

MIB = 1 << 20


def test_sfdisk_reads_what_was_written(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    rows = (PartitionRecord.create(0xEF, 2048, 4096), PartitionRecord.create(0x83, 6144, 2048))
    with image.open("wb") as file:
        file.write(Mbr(0xDEADBEEF, rows).pack())
        file.truncate(8 * MIB)
    assert "No errors detected" in oracles.run("sfdisk", "--verify", image)
    shown = json.loads(oracles.run("sfdisk", "--json", image))["partitiontable"]
    assert shown["label"] == "dos"
    assert shown["id"] == "0xdeadbeef"
    found = [(row["type"], row["start"], row["size"]) for row in shown["partitions"]]
    assert found == [("ef", 2048, 4096), ("83", 6144, 2048)]


@pytest.mark.parametrize(
    ("lba", "cylinder", "head", "sector"),
    [
        (0, 0, 0, 1),
        (62, 0, 0, 63),
        (63, 0, 1, 1),
        (2048, 0, 32, 33),
        (255 * 63, 1, 0, 1),
        (300 * 255 * 63 + 5, 300, 0, 6),
        (1024 * 255 * 63 - 1, 1023, 254, 63),
        (1024 * 255 * 63, 1023, 254, 63),
        (0xFFFFFFFF, 1023, 254, 63),
    ],
)
def test_chs(lba: int, cylinder: int, head: int, sector: int) -> None:
    packed = chs(lba)
    assert (packed[0], packed[1] & 0x3F) == (head, sector)
    assert (packed[1] & 0xC0) << 2 | packed[2] == cylinder
