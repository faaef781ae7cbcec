"""ISO images: the FAT volume of El Torito's EFI entry; made by xorriso."""

from __future__ import annotations

from pathlib import Path

import oracles
import pytest
from fatdamage import Fat, make_fat
from firmware_disks import Lab, set_catalog
from firmware_rows import ROWS, Row
from test_verify_boot import codes

from efi_image.formats.disk import open_disk
from efi_image.inspect.image import image_facts
from efi_image.render.inspect_report import image_lines
from efi_image.verify import repair, verify


def make_iso(folder: Path, volume: Path, *options: str) -> Path:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "esp.img").write_bytes(volume.read_bytes())
    image = folder / "image.iso"
    oracles.run("xorriso", "-as", "mkisofs", *options, "-o", image, tree)
    return image


EFI = ("-e", "/esp.img", "-no-emul-boot")


@pytest.mark.parametrize("options", [EFI, (*EFI, "-isohybrid-gpt-basdat")])
def test_sound_iso(tmp_path: Path, options: tuple[str, ...]) -> None:
    image = make_iso(tmp_path, make_fat(tmp_path, 12), *options)
    errors = codes(verify(image)) & {"B101", "D101", "D102", "D106"}
    assert errors == set()


def test_iso_that_starts_nothing(tmp_path: Path) -> None:
    image = make_iso(tmp_path, make_fat(tmp_path, 12))
    assert codes(verify(image)) == {"D106", "D102"}


SKIPPED = [row for row in ROWS if row.rule in ("D106", "D107")]


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("iso"))


@pytest.mark.parametrize("row", SKIPPED, ids=lambda row: row.fault)
def test_entries_that_firmware_skips(tmp_path: Path, disks: Lab, row: Row) -> None:
    """tests/boot/test_firmware_claims.py boots them."""
    image = tmp_path / "image.iso"
    image.write_bytes(row.make(disks))
    assert row.rule in codes(verify(image))


def test_inspect_tells_why_an_entry_is_skipped(tmp_path: Path, disks: Lab) -> None:
    image = tmp_path / "image.iso"
    for make, told in (
        (set_catalog(32, "B", 0), "EFI (is not bootable): block"),
        (set_catalog(40, "I", 0), "EFI (has block 0): block 0"),
        (set_catalog(28, "H", 1), "firmware ignores the boot catalog: the checksum"),
    ):
        image.write_bytes(make(disks))
        with open_disk(image) as disk:
            lines = "\n".join(image_lines(image_facts(disk)))
        assert told in lines


def test_damage_within(tmp_path: Path) -> None:
    volume = make_fat(tmp_path, 12)
    sound = volume.read_bytes()
    fat = Fat(bytearray(sound))
    fat.set(fat.free(), fat.end)
    volume.write_bytes(fat.data)
    image = make_iso(tmp_path, volume, *EFI)
    report = verify(image)
    assert codes(report) == {"F204"}
    start = image.read_bytes().index(sound[:512])
    place = report.findings[0].location
    assert (place.part, place.offset) == ("El Torito", start + fat.fat_at(fat.free()))
    before = image.read_bytes()
    repaired = repair(image)  # of a file in an ISO image nothing is changed
    assert repaired.fixed == ()
    assert repaired.after.findings == report.findings
    assert image.read_bytes() == before
