"""Disks with single faults for OVMF, each with a program that says which disk it is on.

Made by mkfs.fat, mtools, sgdisk and xorriso, and damaged by hand.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import oracles
from efi_word import word_program
from fatdamage import BOOT, Fat, make_fat
from gptdamage import DAMAGES as GPT_DAMAGES
from gptdamage import LAST, MIB, Disk, make_gpt

NUMBER = "######"  # the output of the programs; a row's number replaces it
ESP_AT, SECOND_AT = 2048, 14336  # sectors of the partitions of make_gpt
BASIC_DATA = bytes.fromhex("a2a0d0ebe5b9334487c068b6b72699c7")
ISO_BLOCK = 2048


class Lab:
    """Sound disks to damage, made in a folder when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def fats(self) -> dict[int, bytes]:
        """Volumes by their FAT type."""
        program = word_program(NUMBER)
        return {
            bits: make_fat(self.folder, bits, program=program).read_bytes() for bits in (12, 16, 32)
        }

    @cached_property
    def gpt(self) -> bytes:
        """A GPT disk."""
        return make_gpt(self.folder, word_program(NUMBER)).read_bytes()

    @cached_property
    def iso(self) -> bytes:
        """An ISO whose only El Torito entry is for EFI."""
        tree = self.folder / "tree"
        tree.mkdir()
        (tree / "esp.img").write_bytes(self.fats[12])
        image = self.folder / "image.iso"
        options = ("-as", "mkisofs", "-e", "/esp.img", "-no-emul-boot")
        oracles.run("xorriso", *options, "-o", image, tree)
        return image.read_bytes()

    def second(self, says: str) -> bytes:
        """A volume for the second partition, with a program that says which one it is."""
        (self.folder / "second.img").unlink(missing_ok=True)
        says_it = word_program(NUMBER + says)
        return make_fat(self.folder, 12, name="second.img", program=says_it).read_bytes()

    def mkfs(self, *options: str, kib: int) -> bytes:
        """A volume by mkfs.fat with other options."""
        image, source = self.folder / "other.img", self.folder / "program"
        image.unlink(missing_ok=True)
        source.write_bytes(word_program(NUMBER))
        oracles.run("mkfs.fat", *options, "-C", image, str(kib))
        oracles.run("mmd", "-i", image, "::EFI", "::EFI/BOOT")
        oracles.run("mcopy", "-i", image, source, f"::{BOOT}")
        return image.read_bytes()


Maker = Callable[[Lab], bytes]

# ---- FAT volumes


def fat(change: Callable[[Fat], None], bits: int = 16) -> Maker:
    """A changed volume."""

    def make(lab: Lab) -> bytes:
        volume = Fat(bytearray(lab.fats[bits]))
        change(volume)
        return bytes(volume.data)

    return make


def _boot_entry(volume: Fat) -> int:
    """The byte of the boot program's directory entry."""
    where = None
    for name in (b"EFI        ", b"BOOT       "):
        where = volume.offset(volume.first(volume.find(name, where)))
    return volume.find(b"BOOTX64 EFI", where)


def program(make_program: Callable[[bytes], bytes], code: bytes) -> Maker:
    """A volume with another boot program, made of the code."""

    def change(volume: Fat) -> None:
        entry, data = _boot_entry(volume), make_program(code)
        at = volume.offset(volume.first(entry))
        volume.data[at : at + 2048] = data.ljust(2048, b"\0")
        volume.put(entry + 28, "I", len(data))

    return fat(change, 12)


def boot_name(name: bytes, case: int = 0) -> Maker:
    """A volume whose boot program has another 8.3 name, or its case bits set."""

    def change(volume: Fat) -> None:
        entry = _boot_entry(volume)
        volume.data[entry : entry + 11] = name
        volume.data[entry + 12] = case

    return fat(change, 12)


# ---- partition tables


def gpt(*names: str) -> Maker:
    """A disk with damages of gptdamage, by name."""
    changes = [damage.change for name in names for damage in GPT_DAMAGES if damage.name == name]
    assert len(changes) == len(names)

    def make(lab: Lab) -> bytes:
        disk = Disk(bytearray(lab.gpt))
        for change in changes:
            change(disk)
        return bytes(disk.data)

    return make


def gpt_changed(change: Callable[[Disk], None], second: str = "") -> Maker:
    """A changed GPT disk; `second` is what the second partition's program says."""

    def make(lab: Lab) -> bytes:
        disk = Disk(bytearray(lab.gpt))
        if second:
            disk.data[SECOND_AT * 512 : SECOND_AT * 512 + MIB] = lab.second(second)
        change(disk)
        return bytes(disk.data)

    return make


def set_type(number: int, guid: bytes) -> Callable[[Disk], None]:
    """Changes a partition's type in both tables."""
    return lambda disk: disk.entry(number, 0, "16s", guid)


def no_volume(disk: Disk) -> None:
    """Leaves a Linux partition of zeros."""
    disk.data[ESP_AT * 512 : SECOND_AT * 512] = bytes((SECOND_AT - ESP_AT) * 512)
    disk.entry(1, 0, "16s", bytes(disk.data[1024 + 128 : 1024 + 144]))


def ext4_esp(disk: Disk) -> None:
    """Leaves a superblock of ext4 on the ESP (Linux, fs/ext4/ext4.h)."""
    at = ESP_AT * 512
    disk.data[at : SECOND_AT * 512] = bytes((SECOND_AT - ESP_AT) * 512)
    disk.put(at + 1024 + 0x38, "HH", 0xEF53, 1)


def other_backup(disk: Disk) -> None:
    """Lets the backup's first entry lead to the place of the second partition, which moves away."""
    disk.entry(2, 32, "QQ", SECOND_AT - 2048, SECOND_AT - 1)
    disk.entry_of(LAST, 32, "QQ", SECOND_AT, SECOND_AT + 2047)
    disk.sign(LAST)


def wrong_primary(disk: Disk) -> None:
    """As `other_backup`, and the primary's checksum is wrong."""
    other_backup(disk)
    disk.put(512 + 16, "I", 1)


Record = tuple[int, int, int]  # type, first sector, sectors


def _records(data: bytearray, at: int, records: tuple[Record, ...]) -> None:
    for number, (kind, start, size) in enumerate(records):
        struct.pack_into("<B3sB3sII", data, at + 446 + 16 * number, 0, b"", kind, b"", start, size)
    data[at + 510 : at + 512] = b"\x55\xaa"


def mbr(*records: Record, logical: tuple[Record, ...] = (), leftover: bool = False) -> Maker:
    """A disk with an MBR; `logical` is the table at sector 2047, `leftover` keeps the GPT."""

    def make(lab: Lab) -> bytes:
        data = bytearray(lab.gpt)
        data[446:510] = bytes(64)
        if not leftover:
            data[512 : 34 * 512] = bytes(33 * 512)
            data[LAST * 512 :] = bytes(512)
        _records(data, 0, records)
        if logical:
            _records(data, 2047 * 512, logical)
        return bytes(data)

    return make


# ---- El Torito


def iso(change: Callable[[bytearray], None]) -> Maker:
    """An ISO whose boot catalog is changed; the checksum is not corrected."""

    def make(lab: Lab) -> bytes:
        data = bytearray(lab.iso)
        at = _catalog(data)
        catalog = data[at : at + ISO_BLOCK]
        change(catalog)
        data[at : at + ISO_BLOCK] = catalog
        return bytes(data)

    return make


def _catalog(data: bytes | bytearray) -> int:
    """The byte of the boot catalog, by the boot record in block 17 (El Torito, figure 7)."""
    return int(struct.unpack_from("<I", data, 17 * ISO_BLOCK + 71)[0]) * ISO_BLOCK


def catalog_moved(block: int) -> Maker:
    """An ISO whose boot record names another block as the catalog's."""

    def make(lab: Lab) -> bytes:
        data = bytearray(lab.iso)
        struct.pack_into("<I", data, 17 * ISO_BLOCK + 71, block)
        return bytes(data)

    return make


def set_catalog(at: int, form: str, *values: int, signed: bool = False) -> Maker:
    """An ISO with numbers in its boot catalog; `signed` corrects the checksum."""

    def change(catalog: bytearray) -> None:
        struct.pack_into("<" + form, catalog, at, *values)
        if signed:
            struct.pack_into("<H", catalog, 28, 0)
            total = sum(struct.unpack_from("<16H", catalog))
            struct.pack_into("<H", catalog, 28, -total & 0xFFFF)

    return iso(change)


def entry_moved(position: int) -> Maker:
    """An ISO whose EFI entry is the one of a section, at a byte of the catalog.

    Sections without a bootable entry lie between.
    """

    def change(catalog: bytearray) -> None:
        entry = bytes(catalog[32:64])
        catalog[32] = 0
        for at in range(64, position - 32, 64):
            struct.pack_into("<BBH", catalog, at, 0x90, 0xEF, 1)
        struct.pack_into("<BBH", catalog, position - 32, 0x91, 0xEF, 1)
        catalog[position : position + 32] = entry

    return iso(change)
