"""A sound GPT disk by sgdisk, and single faults put into its tables. Knows GPT on its own."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import oracles
from fatdamage import PROGRAM, make_fat

MIB = 1 << 20
SECTORS = 9 * MIB // 512
LAST = SECTORS - 1
ENTRIES = {1: 2, LAST: LAST - 32}


def make_gpt(folder: Path, program: bytes = PROGRAM) -> Path:
    """A disk with an ESP of 5 MiB that has a FAT volume by mkfs.fat, and a second partition."""
    image = folder / "gpt.img"
    with image.open("wb") as file:
        file.truncate(9 * MIB)
    oracles.run(
        "sgdisk", "-n", "1:2048:+5M", "-t", "1:EF00", "-n", "2:14336:+1M", "-t", "2:8300", image
    )
    volume = make_fat(folder, 16, name="esp.img", hidden=2048, program=program)
    with image.open("r+b") as file:
        file.seek(MIB)
        file.write(volume.read_bytes())
    return image


class Disk:
    """A disk that is about to be damaged; headers by their sector."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    def put(self, at: int, form: str, *values: int | bytes) -> None:
        struct.pack_into("<" + form, self.data, at, *values)

    def get(self, at: int) -> int:
        return int(struct.unpack_from("<Q", self.data, at)[0])

    def sign(self, *lbas: int) -> None:
        """Correct the checksums."""
        for lba in lbas:
            entries = ENTRIES[lba] * 512
            self.put(lba * 512 + 88, "I", zlib.crc32(self.data[entries : entries + 16384]))
            self.put(lba * 512 + 16, "I", 0)
            crc = zlib.crc32(self.data[lba * 512 : lba * 512 + 92])
            self.put(lba * 512 + 16, "I", crc)

    def header(self, lba: int, offset: int, form: str, *values: int | bytes) -> None:
        """Change a field of a header, and correct its checksum."""
        self.put(lba * 512 + offset, form, *values)
        self.sign(lba)

    def entry(self, number: int, offset: int, form: str, *values: int | bytes) -> None:
        """Change a field of an entry in both arrays, and correct the checksums."""
        for lba, entries in ENTRIES.items():
            self.put(entries * 512 + (number - 1) * 128 + offset, form, *values)
            self.sign(lba)

    def entry_of(self, lba: int, offset: int, form: str, *values: int | bytes) -> None:
        """Change the first entry's field in one array, and leave its checksum wrong."""
        self.put(ENTRIES[lba] * 512 + offset, form, *values)


@dataclass(frozen=True)
class Damage:
    """A fault, the rule that finds it, which tools see it too, and whether --fix repairs it."""

    name: str
    rule: str
    change: Callable[[Disk], None]
    sgdisk: bool = True
    sfdisk: bool = True
    fixed: bool = False


def _same_guid(disk: Disk) -> None:
    for entries in ENTRIES.values():
        at = entries * 512
        disk.data[at + 144 : at + 160] = disk.data[at + 16 : at + 32]
    disk.sign(*ENTRIES)


def _renamed(disk: Disk) -> None:
    disk.entry_of(LAST, 60, "B", 88)
    disk.sign(LAST)


def _longer(disk: Disk) -> None:
    disk.data += bytes(MIB)


def _shorter(disk: Disk) -> None:
    del disk.data[-MIB // 2 :]


def _cut_through(disk: Disk) -> None:
    del disk.data[15 * MIB // 2 :]


def _protective(at: int, value: int) -> Callable[[Disk], None]:
    """A field of the protective record."""
    return lambda disk: disk.put(446 + at, "I", value)


def _wipe(*ranges: tuple[int, int]) -> Callable[[Disk], None]:
    def change(disk: Disk) -> None:
        for start, size in ranges:
            disk.data[start : start + size] = bytes(size)

    return change


DAMAGES = [
    Damage("empty record of a type", "M104", lambda d: d.put(466, "B", 0x40), sfdisk=False),
    Damage("record of no type", "M106", lambda d: d.put(474, "I", 64), sfdisk=False, fixed=True),
    Damage("no primary header", "G101", _wipe((512, 512)), fixed=True),
    Damage("no primary table at all", "G101", _wipe((512, 33 * 512)), fixed=True),
    Damage("primary CRC", "G102", lambda d: d.put(512 + 16, "I", 1), fixed=True),
    Damage("primary disk GUID without CRC", "G102", lambda d: d.put(512 + 56, "I", 1), fixed=True),
    Damage("primary header's size", "G103", lambda d: d.put(512 + 12, "I", 8), fixed=True),
    Damage("primary is elsewhere", "G103", lambda d: d.header(1, 24, "Q", 7), fixed=True),
    Damage("entries within the header", "G103", lambda d: d.header(1, 72, "Q", 1), fixed=True),
    Damage("primary entries", "G104", lambda d: d.entry_of(1, 60, "B", 88), fixed=True),
    Damage("revision", "G106", lambda d: d.header(1, 8, "I", 0x20000), sfdisk=False),
    Damage(
        "revision of the backup", "G106", lambda d: d.header(LAST, 8, "I", 0x20000), sfdisk=False
    ),
    Damage("no backup header", "G111", _wipe((LAST * 512, 512)), fixed=True),
    Damage("backup CRC", "G112", lambda d: d.put(LAST * 512 + 16, "I", 1), fixed=True),
    Damage("backup is elsewhere", "G113", lambda d: d.header(LAST, 24, "Q", 7), fixed=True),
    Damage("backup entries", "G114", lambda d: d.entry_of(LAST, 60, "B", 88), fixed=True),
    Damage("written to a larger medium", "G115", _longer, fixed=True),
    Damage("tables differ", "G116", _renamed, sfdisk=False, fixed=True),
    Damage(
        "disk GUIDs differ", "G116", lambda d: d.header(LAST, 56, "I", 1), sfdisk=False, fixed=True
    ),
    Damage("cut off behind the partitions", "G117", _shorter, fixed=True),
    Damage("cut off within a partition", "G117", _cut_through),
    Damage("overlap", "G201", lambda d: d.entry(2, 32, "Q", 4096)),
    Damage("partition over the table", "G202", lambda d: d.entry(1, 32, "Q", 20), sfdisk=False),
    Damage(
        "partition over the backup", "G202", lambda d: d.entry(2, 40, "Q", LAST - 2), sfdisk=False
    ),
    Damage("partition ends before it begins", "G203", lambda d: d.entry(2, 40, "Q", 14000)),
    Damage("same GUID", "G204", _same_guid, sgdisk=False, sfdisk=False),
    Damage("no protective MBR", "M101", _wipe((446, 66)), fixed=True),
    Damage("protective MBR begins at 5", "M102", _protective(8, 5), False, False, fixed=True),
    Damage("protective MBR is short", "M103", _protective(12, 99), False, fixed=True),
    Damage(
        "hybrid MBR",
        "M104",
        lambda d: d.put(462, "BBBBBBBBII", 0, 0, 0, 0, 0x83, 0, 0, 0, 14336, 2048),
        sfdisk=False,
    ),
]
