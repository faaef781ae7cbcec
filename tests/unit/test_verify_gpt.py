"""Every rule about partition tables, on sound tables with one fault each; beside sgdisk, sfdisk."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import oracles
import pytest
from gptdamage import DAMAGES, LAST, MIB, Damage, Disk, make_gpt

from efi_image.verify import Options, Report, Severity, repair, verify

TOOLS = {"sgdisk": ("-v", "No problems found"), "sfdisk": ("--verify", "No errors detected")}
WORDS = ("caution", "warning", "corrupt", "invalid", "mismatch")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gpt(tmp_path_factory.mktemp("gpt"))


def codes(report: Report) -> set[str]:
    return {finding.rule.code.removeprefix("ZPP-") for finding in report.findings}


def is_damaged(report: Report) -> bool:
    return any(finding.rule.severity is not Severity.NOTE for finding in report.findings)


def others_say_sound(image: Path) -> dict[str, bool]:
    """By tool: whether it finds nothing; both repair in memory first, so their words count."""
    verdicts = {}
    for tool, (option, words) in TOOLS.items():
        report = oracles.run(tool, option, image, check=False)
        verdicts[tool] = words in report and not any(w in report.lower() for w in WORDS)
    return verdicts


def test_sound_disk_is_clean(original: Path) -> None:
    assert verify(original).findings == ()
    assert others_say_sound(original) == {"sgdisk": True, "sfdisk": True}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: f"{d.rule}-{d.name}")
def test_damage_is_found_and_repaired(original: Path, tmp_path: Path, damage: Damage) -> None:
    image = tmp_path / "damaged.img"
    disk = Disk(bytearray(original.read_bytes()))
    damage.change(disk)
    image.write_bytes(disk.data)
    report = verify(image)
    assert damage.rule in codes(report)
    assert is_damaged(report)
    found = {tool: not sound for tool, sound in others_say_sound(image).items()}
    assert found == {"sgdisk": damage.sgdisk, "sfdisk": damage.sfdisk}
    assert image.read_bytes() == disk.data
    fixed = tmp_path / "fixed.img"
    repaired = repair(image, fixed)
    assert bool(repaired.fixed) is damage.fixed
    if damage.fixed:
        assert repaired.after.findings == ()
        assert others_say_sound(fixed) == {"sgdisk": True, "sfdisk": True}
        assert oracles.run("sgdisk", "-i", "1", fixed).count("C12A7328") == 1
        # nothing but the tables was touched
        assert fixed.read_bytes()[MIB : 8 * MIB] == disk.data[MIB : 8 * MIB]
    else:
        assert fixed.read_bytes() == disk.data


def test_wrong_sector_size_for_the_medium(original: Path) -> None:
    assert codes(verify(original, Options(sector_size=4096))) == {"D104"}
    assert verify(original, Options(sector_size=512)).findings == ()


def test_wrong_type_of_partition(original: Path, tmp_path: Path) -> None:
    image = tmp_path / "type.img"
    shutil.copy(original, image)
    oracles.run("sgdisk", "-t", "1:0700", image)
    assert codes(verify(image)) == {"D103"}


def test_hidden_sectors(original: Path, tmp_path: Path) -> None:
    image = tmp_path / "hidden.img"
    data = bytearray(original.read_bytes())
    struct.pack_into("<I", data, MIB + 0x1C, 0)
    image.write_bytes(data)
    report = verify(image)
    assert codes(report) == {"F113"}
    place = report.findings[0].location
    assert (place.part, place.offset, place.sector) == ("partition 1", MIB + 0x1C, 2048)
    assert repair(image).after.findings == ()
    assert image.read_bytes() == original.read_bytes()


def test_mbr_disk(original: Path, tmp_path: Path) -> None:
    image = tmp_path / "mbr.img"
    data = bytearray(original.read_bytes())
    data[512 : 34 * 512] = bytes(33 * 512)
    del data[-512:]
    struct.pack_into("<B3sB3sII", data, 446, 0x80, b"", 0xEF, b"", 2048, 10240)
    image.write_bytes(data)
    assert verify(image).findings == ()
    struct.pack_into("<B3sB3sII", data, 462, 0, b"", 0x83, b"", 4096, 99999)
    image.write_bytes(data)
    assert codes(verify(image)) == {"M201", "M202"}
    struct.pack_into("<B3sB3sII", data, 446, 0x80, b"", 0x0E, b"", 2048, 10240)
    data[462:478] = bytes(16)
    image.write_bytes(data)
    assert codes(verify(image)) == {"M204"}
    struct.pack_into("<B3sB3sII", data, 446, 0, b"", 0x05, b"", 40, 10240)
    image.write_bytes(data)
    assert codes(verify(image)) == {"M203", "D102"}


def _logical(data: bytearray, sector: int, following: int | None) -> None:
    """A logical partition's table; `following` is the next one's sector behind the first."""
    at = sector * 512
    struct.pack_into("<B3sB3sII", data, at + 446, 0, b"", 0x83, b"", 1, 1)
    if following is not None:
        struct.pack_into("<B3sB3sII", data, at + 462, 0, b"", 0x05, b"", following, 2)
    data[at + 510 : at + 512] = b"\x55\xaa"


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ([2, 0], "leads back into itself"),
        ([2, 4, 4], "leads back into itself"),
        ([1000], "the signature 55 AA is missing"),
        ([1 << 24], "end"),
        (list(range(2, 2 * 130, 2)), "more than 128"),
    ],
    ids=["to the first", "to itself", "to nothing", "beyond the end", "many"],
)
def test_logical_partitions_that_cannot_be_followed(
    tmp_path: Path, chain: list[int], reason: str
) -> None:
    data = bytearray(2 * MIB)
    struct.pack_into("<B3sB3sII", data, 446, 0, b"", 0x05, b"", 40, 2048)
    struct.pack_into("<B3sB3sII", data, 462, 0, b"", 0x83, b"", 2100, 900)
    data[510:512] = b"\x55\xaa"
    for place, following in zip([0, *chain], [*chain, None], strict=True):
        if place < 1000 and (following is not None or reason.startswith("more")):
            _logical(data, 40 + place, following)
    image = tmp_path / "chain.img"
    image.write_bytes(data)
    report = verify(image)
    (finding,) = [f for f in report.findings if f.rule.code == "ZPP-M203"]
    assert reason in finding.reason


def test_notes(original: Path, tmp_path: Path) -> None:
    image = tmp_path / "notes.img"
    shutil.copy(original, image)
    oracles.run("sgdisk", "-t", "2:EF00", image)
    assert "D105" in codes(verify(image))
    oracles.run("sgdisk", "-d", "2", "-a", "1", "-n", "2:14337:+99", "-t", "2:8300", image)
    assert codes(verify(image)) == {"G205"}


def test_few_entries(original: Path, tmp_path: Path) -> None:
    image = tmp_path / "few.img"
    disk = Disk(bytearray(original.read_bytes()))
    for lba, entries in ((1, 2), (LAST, LAST - 4)):
        disk.data[entries * 512 : (entries + 4) * 512] = disk.data[2 * 512 : 6 * 512]
        at = lba * 512
        disk.put(at + 40, "Q", 6)
        disk.put(at + 72, "QI", entries, 16)
        disk.put(at + 88, "I", zlib.crc32(disk.data[2 * 512 : 6 * 512]))
        disk.put(at + 16, "I", 0)
        disk.put(at + 16, "I", zlib.crc32(disk.data[at : at + 92]))
    image.write_bytes(disk.data)
    assert codes(verify(image)) == {"G105"}


def test_nothing_known(tmp_path: Path) -> None:
    image = tmp_path / "empty.img"
    for data in (bytes(100), bytes(MIB)):
        image.write_bytes(data)
        assert codes(verify(image)) == {"D101"}
        assert repair(image).fixed == ()
