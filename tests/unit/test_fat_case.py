"""Names on a volume of another maker that only Unicode's full case folding takes for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles import check_fat, run

from efi_image.cli.main import main

NAMES = {"straße.conf": "one", "strasse.conf": "two", "ﬁ.conf": "three", "fi.conf": "four"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A volume with these files by mtools, which keeps the names apart."""
    image = tmp_path / "volume.img"
    run("mkfs.fat", "-C", image, "8192")
    for name, text in NAMES.items():
        file = tmp_path / name
        file.write_text(text)
        run("mcopy", "-i", image, file, "::/")
    check_fat(image)
    return image


@pytest.mark.parametrize("name", NAMES)
def test_each_name_finds_its_own_file(
    name: str, image: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for spelling in (name, name.replace("conf", "CONF"), name.replace("s", "S")):
        assert main(["cat", str(image), spelling]) == 0
        assert capsysbinary.readouterr().out == NAMES[name].encode()


def test_verify_does_not_call_them_the_same(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", str(image)])
    assert "F409" not in capsys.readouterr().out


def test_extract_writes_all(image: Path, tmp_path: Path) -> None:
    assert main(["extract", str(image), "--to", str(tmp_path / "out")]) == 0
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == NAMES


def test_make_takes_them_together(tmp_path: Path) -> None:
    image = tmp_path / "made.img"
    added = []
    for name, text in NAMES.items():
        (tmp_path / name).write_text(text)
        added += ["--add", f"{tmp_path / name}:/"]
    made = ["make", str(image), "--hypervisor", "none", "--table", "none", *added]
    assert main(made) == 0
    check_fat(image)
    assert main(["cat", str(image), "straße.conf"]) == 0
