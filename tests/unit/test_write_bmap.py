"""Block maps: which blocks of an image are written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from oracles import run
from writing import (
    MIB,
    SIZE,
    boots,
    image,
    make_image,
    old_stick,
    pack,
    write,
)

from efi_image.errors import (
    InputError,
)
from efi_image.flash.options import WriteOptions
from efi_image.flash.session import Session
from efi_image.flash.source import open_source
from efi_image.flash.target import open_file
from efi_image.formats.bmap import read_bmap

__all__ = ["image"]


def test_a_bmap_of_our_own(tmp_path: Path) -> None:
    image = make_image(tmp_path, bmap=True)
    check_bmap(image, image.with_suffix(".bmap"), tmp_path)


@pytest.mark.slow
def test_a_bmap_of_bmaptool(image: Path, tmp_path: Path) -> None:
    run("bmaptool", "create", "-o", tmp_path / "made.bmap", image)
    check_bmap(image, tmp_path / "made.bmap", tmp_path)


def check_bmap(image: Path, bmap: Path, folder: Path) -> None:
    for number, packed in enumerate((image, pack(image, "gz"))):
        stick = old_stick(folder, SIZE, f"stick{number}")
        target = open_file(stick, None)
        with open_source(packed, read_bmap(bmap)) as source:
            assert source.size == SIZE
            Session(source, target, WriteOptions(packed, str(stick), bmap)).write()
        target.close()
        assert stick.read_bytes() == image.read_bytes()


def test_an_image_that_is_not_its_bmaps(tmp_path: Path) -> None:
    image = make_image(tmp_path, bmap=True)
    with image.open("r+b") as file:
        file.seek(3 * MIB)
        file.write(b"other")
    stick = old_stick(tmp_path, SIZE)
    target = open_file(stick, None)
    with (
        open_source(image, read_bmap(image.with_suffix(".bmap"))) as source,
        pytest.raises(InputError, match=r"bytes .* do not match the checksum in .*image.bmap"),
    ):
        Session(source, target, WriteOptions(image, str(stick))).write()
    target.close()
    assert not boots(stick)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not XML"),
        ("<bmap version='3.0'/>", "is not a bmap file of version 1 or 2"),
        ("<bmap version='2.0'><ChecksumType>md5</ChecksumType></bmap>", "unknown type: md5"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><bmap version='1.3'/>", "declares a document type"),
        ("<bmap version='1.3'><ImageSize> 9 </ImageSize></bmap>", "has no BlockSize"),
        (
            "<bmap version='1.3'><ImageSize>9</ImageSize><BlockSize>4096</BlockSize>"
            "<BlockMap><Range>7-3</Range></BlockMap></bmap>",
            "out of order",
        ),
        (
            "<bmap version='1.3'><ImageSize>9</ImageSize><BlockSize>4096</BlockSize>"
            "<BmapFileSHA1>" + "a" * 40 + "</BmapFileSHA1></bmap>",
            "is damaged",
        ),
        (
            "<bmap version='1.3'><ImageSize>9</ImageSize><BlockSize>4096</BlockSize>"
            "<BlockMap/></bmap>",
            "maps no blocks, so nothing of the image would be written",
        ),
        (
            "<bmap version='1.3'><ImageSize>8193</ImageSize><BlockSize>4096</BlockSize>"
            "<MappedBlocksCount>3</MappedBlocksCount>"
            "<BlockMap><Range>0</Range><Range>2</Range></BlockMap></bmap>",
            "maps 2 blocks, but its MappedBlocksCount is 3",
        ),
    ],
)
def test_bad_bmaps(text: str, what: str, tmp_path: Path) -> None:
    bmap = tmp_path / "bad.bmap"
    bmap.write_text(text)
    with pytest.raises(InputError, match=what):
        read_bmap(bmap)


def test_what_bmaptool_writes_is_the_same(tmp_path: Path) -> None:
    """On a file of zeros, where a hole is a hole to both."""
    image = make_image(tmp_path, bmap=True)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        with path.open("wb") as file:
            file.truncate(SIZE)
    write(image, ours)
    command = ["bmaptool", "copy", "--bmap", str(image.with_suffix(".bmap"))]
    subprocess.run([*command, image, theirs], check=True, capture_output=True)
    assert ours.read_bytes() == theirs.read_bytes()
