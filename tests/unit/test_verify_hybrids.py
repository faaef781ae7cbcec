"""Media that several systems read in their own way: a repair must keep what firmware boots.

Oracles: sfdisk, which follows the MBR as firmware does; xorriso, which made the hybrid ISOs and
reads their files back.
"""

from __future__ import annotations

import struct
from pathlib import Path

import oracles
import pytest
from foreign import MIB, mkfs

from efi_image.formats.disk import Scheme, open_disk
from efi_image.verify import Report, Severity, repair, verify


def codes(report: Report) -> set[str]:
    return {finding.rule.code.removeprefix("ZPP-") for finding in report.findings}


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A stick with an MBR, from which an older GPT's backup was not erased."""
    path = tmp_path / "stick.img"
    path.write_bytes(bytes(32 * MIB))
    oracles.run("sgdisk", "-o", "-n1:40960:+4M", "-c1:old", path)
    volume = mkfs(tmp_path / "volume", 8 * MIB)
    with path.open("r+b") as file:
        file.write(bytes(34 * 512))
        file.seek(446)
        file.write(struct.pack("<B3sB3sII", 0x80, b"", 0xEF, b"", 2048, 16384))
        file.seek(510)
        file.write(b"\x55\xaa")
        file.seek(MIB)
        file.write(volume.read_bytes())
    return path


def partitions(path: Path) -> str:
    """The start, size and type of each partition, as sfdisk sees them."""
    lines = oracles.run("sfdisk", "-d", path).splitlines()
    return "\n".join(line.split(":", 1)[1] for line in lines if "start=" in line)


def test_the_mbr_wins_over_a_leftover_gpt(stick: Path) -> None:
    assert "type=ef" in partitions(stick)
    with open_disk(stick) as disk:
        assert disk.scheme is Scheme.MBR
        assert [p.start for p in disk.partitions] == [MIB]
    assert "M205" in codes(verify(stick))
    assert not {code for code in codes(verify(stick)) if code.startswith("G") or code == "M101"}


def test_repair_erases_the_leftover_only(stick: Path) -> None:
    before, original = partitions(stick), stick.read_bytes()
    repaired = repair(stick)
    assert "disk: erased the headers of the leftover GPT" in repaired.fixed
    assert "M205" not in codes(repaired.after)
    assert partitions(stick) == before
    assert stick.read_bytes()[:MIB] == original[:MIB]
    assert b"EFI PART" not in stick.read_bytes()


def test_a_gpt_counts_where_the_mbr_ends_beyond_the_disk(stick: Path) -> None:
    with stick.open("r+b") as file:
        file.seek(446)
        file.write(struct.pack("<B3sB3sII", 0x80, b"", 0xEF, b"", 2048, 1 << 30))
    with open_disk(stick) as disk:
        assert disk.scheme is Scheme.GPT


MADE_BY_XORRISO = {
    "MBR and GPT that overlap": "-isohybrid-mbr {code} -isohybrid-gpt-basdat",
    "appended partition": (
        "-isohybrid-mbr {code} -partition_offset 16 -append_partition 2 0xef {esp}"
    ),
    "appended partition in a GPT": (
        "-partition_offset 16 -append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B {esp}"
        " -appended_part_as_gpt --mbr-force-bootable"
    ),
}


@pytest.mark.parametrize("way", MADE_BY_XORRISO)
def test_hybrid_isos_stay_as_they_are(tmp_path: Path, way: str) -> None:
    top = tmp_path / "files"
    (top / "isolinux").mkdir(parents=True)
    esp = mkfs(top / "efi.img", 4 * MIB)
    code = tmp_path / "code.bin"
    code.write_bytes(bytes(432))
    (top / "isolinux/isolinux.bin").write_bytes(bytes(2048))
    iso = tmp_path / "hybrid.iso"
    options = MADE_BY_XORRISO[way].format(code=code, esp=esp).split()
    oracles.run(
        "xorriso", "-as", "mkisofs", "-quiet", "-R", "-b", "isolinux/isolinux.bin",
        "-c", "boot.cat", "-no-emul-boot",
        "-boot-load-size", "4", "-boot-info-table", "-eltorito-alt-boot",
        "-e", "efi.img", "-no-emul-boot", *options, "-o", iso, top,
    )  # fmt: skip
    original = iso.read_bytes()
    found = codes(verify(iso))
    assert not found & {"G201", "G202", "M101", "M106", "D103"}
    assert repair(iso).fixed == ()
    assert iso.read_bytes() == original


def test_the_mark_of_an_old_bios_stays(tmp_path: Path) -> None:
    """parted's pmbr_boot: OVMF (2022.11 and 2026.08) boots such a disk."""
    image = tmp_path / "active.img"
    image.write_bytes(bytes(16 * MIB))
    oracles.run("sgdisk", "-o", "-n1:2048:+8M", "-t1:EF00", image)
    volume = mkfs(tmp_path / "volume", 8 * MIB)
    with image.open("r+b") as file:
        file.seek(446)
        file.write(b"\x80")
        file.seek(MIB)
        file.write(volume.read_bytes())
    assert "No problems found" in oracles.run("sgdisk", "-v", image)
    report = verify(image)
    assert {f.rule.severity for f in report.findings if f.rule.code == "ZPP-M105"} == {
        Severity.NOTE
    }
    repair(image)
    assert image.read_bytes()[446] == 0x80
