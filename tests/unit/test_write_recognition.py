"""Only a known and complete disk or volume is written; the rest needs --raw-bytes.

Oracles: mkfs.fat, mkfs.ext4, sgdisk, sfdisk and xorriso, which make the images.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from foreign import MIB, mkfs
from oracles import run
from writing import SIZE, make_image, old_stick, pack, write

from efi_image.build.partitions import Table
from efi_image.errors import InputError, VerificationFailed
from efi_image.flash.recognition import check_target, recognize
from efi_image.flash.source import open_source


def _cut(image: Path, size: int) -> Path:
    os.truncate(image, size)
    return image


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    return path


def _archive(folder: Path) -> Path:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("disk.img"))
    return _file(folder, packed.getvalue().ljust(MIB, b"\0"))


def _zip(folder: Path) -> Path:
    path = folder / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", bytes(MIB))
        archive.writestr("b", bytes(MIB))
    return path


def _iso(folder: Path) -> Path:
    top = folder / "top"
    top.mkdir()
    (top / "file").write_bytes(os.urandom(MIB))
    run("xorriso", "-as", "mkisofs", "-quiet", "-o", folder / "x.iso", top)
    return folder / "x.iso"


def _ext4(folder: Path) -> Path:
    path = _file(folder, bytes(4 * MIB))
    run("mkfs.ext4", "-q", path)
    return path


def _without_primary(image: Path) -> Path:
    with image.open("r+b") as file:
        file.seek(512)
        file.write(bytes(33 * 512))
    return image


def _with_wrong_crc(image: Path) -> Path:
    with image.open("r+b") as file:
        file.seek(512 + 16)
        file.write(struct.pack("<I", 1))
    return image


# a member joins in one line: what the message says
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "text": (
        lambda folder: _file(folder, b"root:x:0:0\n" * 20000),
        "is a text file, not a disk image",
    ),
    "XML": (
        lambda folder: _file(folder, b"<?xml version='1.0'?>" * 20000),
        "is a text file, not a disk image",
    ),
    "random": (lambda folder: _file(folder, os.urandom(MIB)), "is not a disk"),
    "zeros": (lambda folder: _file(folder, bytes(MIB)), "is not a disk"),
    "text in gzip": (
        lambda f: _file(f, gzip.compress(b"text\n" * 99999)),
        "is a text file, not a disk image",
    ),
    "text in bzip2": (
        lambda f: _file(f, bz2.compress(b"text\n" * 99999)),
        "is a text file, not a disk image",
    ),
    "tar archive": (_archive, "is a tar archive, not a disk image"),
    "ZIP archive": (_zip, "ZIP archive of 2 files"),
    "cut GPT disk": (lambda folder: _cut(make_image(folder), 1000000), "is incomplete"),
    "cut MBR disk": (lambda f: _cut(make_image(f, table=Table.MBR), SIZE // 2), "incomplete"),
    "cut FAT volume": (lambda f: _cut(mkfs(f / "fat", 8 * MIB), 7 * MIB), "is incomplete"),
    "cut ISO": (lambda folder: _cut(_iso(folder), MIB), "is incomplete"),
    "no primary GPT": (lambda f: _without_primary(make_image(f)), "has no primary GPT"),
    "wrong GPT": (lambda f: _with_wrong_crc(make_image(f)), "has a GPT that cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    make, message = REFUSED[name]
    image = make(tmp_path)
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    with pytest.raises(InputError, match=message):
        write(image, stick)
    assert stick.read_bytes() == before


@pytest.mark.parametrize("name", ["text", "random", "cut GPT disk", "wrong GPT", "zeros"])
def test_raw_bytes_are_written_as_they_are(tmp_path: Path, name: str) -> None:
    image = REFUSED[name][0](tmp_path)
    stick = old_stick(tmp_path, SIZE)
    write(image, stick, raw_bytes=True)
    data = image.read_bytes()
    assert stick.read_bytes()[: len(data)] == data


WRITTEN: dict[str, Callable[[Path], Path]] = {
    "GPT": make_image,
    "MBR": lambda folder: make_image(folder, table=Table.MBR),
    "FAT": lambda folder: mkfs(folder / "fat", 8 * MIB),
    "ISO 9660": _iso,
    "ext4": _ext4,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_known_disks_and_volumes_are_written(tmp_path: Path, name: str) -> None:
    image = WRITTEN[name](tmp_path)
    stick = old_stick(tmp_path, SIZE)
    write(image, stick)
    data = image.read_bytes()
    assert stick.read_bytes()[: len(data)] == data


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_a_packed_image_that_is_incomplete_never_boots(tmp_path: Path, kind: str) -> None:
    """Its size is known at its end only."""
    image = _cut(make_image(tmp_path), SIZE // 2)
    stick = old_stick(tmp_path, SIZE)
    with pytest.raises(InputError, match="is incomplete"):
        write(pack(image, kind), stick)
    assert not any(stick.read_bytes()[:4096])


def test_the_target_must_show_the_images_partitions(tmp_path: Path) -> None:
    image = make_image(tmp_path)
    with open_source(image) as source:
        wanted = recognize(source, SIZE, 512)
    check_target(wanted, str(image), SIZE)
    run("sgdisk", "-d", "1", image)
    with pytest.raises(VerificationFailed, match="does not show the image's partitions"):
        check_target(wanted, str(image), SIZE)
