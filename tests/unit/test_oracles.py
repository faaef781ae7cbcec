"""The oracles themselves: a missing one fails the test, and a bad image does not pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import oracles
import pytest
from trees import tree_of

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions

MIB = 1 << 20
FAT = 1 << 16  # stands for where the first FAT begins


def test_missing_oracle_fails_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _tool, path: None)
    with pytest.raises(pytest.fail.Exception, match="apt-get install dosfstools"):
        oracles.run("fsck.fat")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "esp.img"
    make_image(ResolvedOptions(path), tree_of({"a.txt": b"a" * 5000}))
    return path


def spoil(image: Path, offset: int) -> None:
    data = bytearray(image.read_bytes())
    data[offset] ^= 0x01
    image.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    "offset",
    [
        11,  # bytes per sector
        6 * 512 + 39,  # the backup boot sector
        512 + 488,  # FSInfo's count of free clusters
        FAT + 14,  # a link of the first FAT
    ],
)
def test_fsck_sees_damage(image: Path, offset: int) -> None:
    oracles.check_fat(image, MIB, 62 * MIB)
    if offset >= FAT:
        reserved = int.from_bytes(image.read_bytes()[MIB + 14 : MIB + 16], "little")
        offset += reserved * 512 - FAT
    spoil(image, MIB + offset)
    with pytest.raises((pytest.fail.Exception, AssertionError)):
        oracles.check_fat(image, MIB, 62 * MIB)


@pytest.mark.parametrize("offset", [512 + 72, 1024 + 32, 64 * MIB - 512 + 16])
def test_gpt_tools_see_damage(image: Path, offset: int) -> None:
    oracles.check_gpt(image)
    spoil(image, offset)
    with pytest.raises((pytest.fail.Exception, AssertionError)):
        oracles.check_gpt(image)
