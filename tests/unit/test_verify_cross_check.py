"""The cross-check of verify: an independent reader, pyfatfs, reads every file as well."""

from __future__ import annotations

from pathlib import Path

import oracles
import pytest
from fatdamage import FILES, THREE, Fat, make_fat
from test_verify_boot import codes

from efi_image.formats.fat.reader import FatVolume
from efi_image.io.medium import open_raw
from efi_image.verify import Options, verify
from efi_image.verify.context import CheckContext
from efi_image.verify.cross_check import check
from efi_image.verify.finding import Findings


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fat(tmp_path_factory.mktemp("fat"), 12)


def test_all_files_are_read_alike(sound: Path, tmp_path: Path) -> None:
    options = Options(cross_check=True)
    assert verify(sound, options).findings == ()
    # pyfatfs wants a volume that was cleanly unmounted, and a known media byte
    fat = Fat(bytearray(sound.read_bytes()))
    fat.data[21] = 0x12
    image = tmp_path / "image"
    image.write_bytes(fat.data)
    assert "F501" in codes(verify(image, options))


def test_a_volume_that_cannot_be_read_is_not_cross_checked(sound: Path, tmp_path: Path) -> None:
    fat = Fat(bytearray(sound.read_bytes()))
    first = fat.first(fat.find(THREE))
    fat.set(first, first)  # a chain that runs in a circle
    image = tmp_path / "image"
    image.write_bytes(fat.data)
    assert "F502" in codes(verify(image, Options(cross_check=True)))


def test_a_reader_that_takes_too_long_is_ended(sound: Path) -> None:
    with open_raw(sound) as medium:
        context = CheckContext(medium, Findings(), "volume")
        check(context, FatVolume(medium), seconds=0)
    assert [(f.rule.code, f.reason) for f in context.findings.found] == [
        ("ZPP-F502", "pyfatfs did not finish within 0 s")
    ]


def test_files_of_the_sample_are_there(sound: Path) -> None:
    assert oracles.pyfatfs_files(sound) == FILES
