"""Images made by other programs, and images with faults put in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import oracles

from efi_image.io.medium import Medium

KIB = 1 << 10
MIB = 1 << 20
GPT_SCRIPT = """label: gpt
size=8MiB, type=uefi, name="EFI – System", attrs="LegacyBIOSBootable"
size=4MiB, type=linux, name="root"
start=40MiB, type=21686148-6449-6E6F-744E-656564454649
"""


@contextmanager
def in_memory(data: bytes) -> Iterator[Medium]:
    """A medium with those bytes."""
    descriptor = os.memfd_create("image")
    try:
        os.write(descriptor, data)
        yield Medium(descriptor, "image", 0, len(data))
    finally:
        os.close(descriptor)


def sources(folder: Path) -> Path:
    """Files to put on images: long, short and Unicode names, empty and larger ones."""
    top = folder / "source"
    deep = top / "deep" / "er" / "est"
    deep.mkdir(parents=True)
    (top / "Long Directory Name").mkdir()
    (top / "EFI" / "BOOT").mkdir(parents=True)
    (top / "EFI" / "BOOT" / "BOOTX64.EFI").write_bytes(os.urandom(30_001))
    (top / "Long Directory Name" / "ünïcode – näme.text").write_bytes(b"some text\n")
    (top / "empty.bin").write_bytes(b"")
    (deep / "data.bin").write_bytes(os.urandom(120_000))
    for number in range(40):
        (top / "deep" / f"numbered file {number:03}.txt").write_text(f"{number}\n")
    return top


def contents(top: Path) -> dict[str, bytes]:
    """The same, as `path/name` → bytes."""
    return {
        str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()
    }


def mkfs(image: Path, size: int, *options: str, source: Path | None = None) -> Path:
    """A FAT volume by mkfs.fat, filled by mcopy."""
    with image.open("wb") as file:
        file.truncate(size)
    oracles.run("mkfs.fat", *options, image)
    if source:
        oracles.run("mcopy", "-s", "-i", image, *source.iterdir(), "::/")
    return image


def patched(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    """The bytes with some replaced: (offset, new bytes)."""
    copy = bytearray(data)
    for offset, new in changes:
        copy[offset : offset + len(new)] = new
    return bytes(copy)


def sfdisk(image: Path, script: str, size: int = 64 * MIB) -> Path:
    """An image of `size` bytes with a partition table by sfdisk."""
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(
        ["/usr/sbin/sfdisk", "-q", image], input=script, text=True, check=True, capture_output=True
    )
    return image


def divided_disk(folder: Path) -> Path:
    """An image with a GPT by sfdisk, and a FAT volume by mkfs.fat in its first partition."""
    image = sfdisk(folder / "gpt.img", GPT_SCRIPT)
    volume = mkfs(folder / "fat.img", 8 * MIB, "-n", "A&B", source=sources(folder))
    with image.open("r+b") as file:
        file.seek(MIB)
        file.write(volume.read_bytes())
    return image
