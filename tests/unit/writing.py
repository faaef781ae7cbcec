"""What the tests of writing share: small images, targets that misbehave, and checks."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracles import check_gpt, mtools_read, run
from trees import tree_of

from efi_image.build import image as images
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.flash.chunker import GRAIN
from efi_image.flash.options import WriteOptions, WriteReport
from efi_image.flash.session import Session
from efi_image.flash.source import open_source
from efi_image.flash.target import Target as Medium
from efi_image.flash.target import open_file
from efi_image.formats.gpt.reader import read_gpt
from efi_image.io.medium import open_raw

MIB = 1 << 20
SIZE = 16 * MIB
PAYLOAD = 5 * MIB + 12345
START = MIB  # of the partition

PACKERS = {"gz": ("gzip", "-k"), "xz": ("xz", "-k", "-0"), "zst": ("zstd", "-q", "-k")}


def pack(image: Path, suffix: str) -> Path:
    """The image, packed."""
    run(*PACKERS[suffix], image)
    return image.with_name(image.name + f".{suffix}")


def convert(image: Path, form: str) -> Path:
    """The image as a virtual disk."""
    made = image.with_suffix(f".{form}")
    run("qemu-img", "convert", "-O", form, image, made)
    return made


# how to make each form of an image of the raw one
FORMS: dict[str, Callable[[Path], Path]] = {
    "raw": lambda image: image,
    **{form: (lambda image, form=form: pack(image, form)) for form in PACKERS},  # type: ignore[misc]
    **{form: (lambda image, form=form: convert(image, form)) for form in ("qcow2", "vmdk")},  # type: ignore[misc]
    "qcow2.gz": lambda image: pack(convert(image, "qcow2"), "gz"),
}


def payload() -> bytes:
    """The bytes of the file on the image: the same in every run, and none like another."""
    return random.Random(5).randbytes(PAYLOAD)


def make_image(
    folder: Path, *, size: int = SIZE, table: Table = Table.GPT, sector_size: int = 512,
    bmap: bool = False,
) -> Path:  # fmt: skip
    """An image with one file, most of it holes."""
    image = folder / "image.img"
    options = ResolvedOptions(
        image,
        bmap=folder / "image.bmap" if bmap else None,
        size=size,
        table=table,
        sector_size=sector_size,
    )
    images.make_image(options, tree_of({"EFI/BOOT/BOOTX64.EFI": payload()}))
    return image


@functools.cache
def old_content() -> bytes:
    """What was on every target before."""
    return random.Random(3).randbytes(2 * SIZE)


def old_stick(folder: Path, size: int, name: str = "stick") -> Path:
    """A target on which there is something else, as far as an image may reach."""
    stick = folder / name
    with stick.open("wb") as file:
        file.write(old_content()[:size])
        file.truncate(size)
    return stick


def write(image: Path, stick: Path, medium: Medium | None = None, **options: Any) -> WriteReport:
    """Write an image to a file; `options` are those of WriteOptions."""
    target = medium or open_file(stick, None)
    try:
        with open_source(image) as source:
            return Session(source, target, WriteOptions(image, str(stick), **options)).write()
    finally:
        target.close()


def assert_whole(image: Path, stick: Path, *, holes: bool = True) -> None:
    """The stick has all of the image, and a right table with its backup at its end."""
    wanted, found = image.read_bytes(), stick.read_bytes()
    table = 33 * 512
    if holes:
        assert found[GRAIN : len(wanted) - table] == wanted[GRAIN:-table]
    check_gpt(stick)
    read = mtools_read(stick, "EFI/BOOT/BOOTX64.EFI", stick.with_suffix(".read"), START)
    assert read == payload()


def boots(stick: Path) -> bool:
    """Whether firmware would find something to start from: a table, or a first block at all."""
    with open_raw(stick) as medium:
        return any(medium.read(0, 4096)) or read_gpt(medium) is not None


class Misbehaving(Medium):
    """A target that can be told to misbehave."""

    def __init__(self, stick: Path, sector_size: int = 512) -> None:
        descriptor = os.open(stick, os.O_RDWR)
        size = stick.stat().st_size
        super().__init__(str(stick), size, sector_size, descriptor)
        self.flipped = -1  # a byte that is written wrongly
        self.real = size  # writes beyond it wrap around

    def write(self, offset: int, view: memoryview) -> None:
        super().write(offset % self.real, view)
        clears = offset == 0 and not any(view)
        if offset <= self.flipped < offset + len(view) and not clears:
            place = self.flipped - offset
            wrong = bytes([view[place] ^ 0x40])
            os.pwrite(self.descriptor(), wrong, self.flipped)

    def read(self, offset: int, view: memoryview) -> None:
        super().read(offset % self.real, view)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image, most of it holes."""
    return make_image(tmp_path)
