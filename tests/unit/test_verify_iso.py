"""ISO images: the FAT volume of El Torito's EFI entry; made by xorriso."""

from __future__ import annotations

from pathlib import Path

import oracles
import pytest
from fatdamage import Fat, make_fat
from test_verify_boot import codes

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
