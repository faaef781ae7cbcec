"""An image that tests change."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles import mtools_paths

from efi_image.cli.main import main
from efi_image.formats.disk import open_disk

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A GPT disk with a FAT32 ESP that has `\\dir\\file`."""
    image, file = tmp_path / "esp.img", tmp_path / "file"
    file.write_text("text")
    made = ["make", str(image), "--hypervisor", "none", "--size", "40M"]
    assert main([*made, "--add", f"{file}:/dir/"]) == 0
    return image


def fails(words: list[str], capsys: Capture, message: str, code: int = 3) -> None:
    """The command ends with that code and one line with that text."""
    capsys.readouterr()
    assert main(words) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def names(image: Path) -> set[str]:
    with open_disk(image) as disk:
        return mtools_paths(image, disk.pick().start)
