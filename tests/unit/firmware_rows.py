"""How OVMF treats the faults that `verify` finds: the table of docs/reference/firmware.md.

tests/boot/test_firmware_claims.py boots every row.
"""

from __future__ import annotations

from dataclasses import dataclass

import firmware_disks as disks
from efi_word import code
from fatdamage import DAMAGES as FAT_DAMAGES
from firmware_disks import NUMBER, Maker
from gptdamage import DAMAGES as GPT_DAMAGES
from pedamage import DAMAGES as PE_DAMAGES

STARTS, NOTHING = "starts", "does not start"
VERSIONS = ("2022.11", "2026.08")


@dataclass(frozen=True)
class Row:
    """A disk with a fault, the rule that finds it, and what both OVMF versions do.

    `sector` is the drive's; 2048 is an optical drive.
    """

    rule: str
    fault: str
    make: Maker
    result: str = STARTS
    newest: str = ""  # '': as `result`
    sector: int = 512

    @property
    def results(self) -> tuple[str, str]:
        """By VERSIONS."""
        return self.result, self.newest or self.result


# faults of fatdamage, gptdamage and pedamage with which OVMF starts nothing
_REFUSED = {
    "sectors of 500 bytes", "clusters of 3 sectors", "no reserved sectors", "no FATs", "no sectors",
    "media byte", "FAT too small", "version of FAT32", "root cluster", "boot sector zeroed",
    "no clusters", "FATs not mirrored",
    "overlap", "partition over the table", "no protective MBR", "protective MBR begins at 5",
    "relocations stripped, its address is not free",
}  # fmt: skip
_PE_STARTED = {"B105", "B106", "B109", "B112"}  # but for those in _REFUSED
_CODE = code(NUMBER)


def _result(name: str) -> str:
    return NOTHING if name in _REFUSED else STARTS


# those of other rules are about files that no boot reads
_FAT = [
    Row(d.rule, f"FAT{d.bits}: {d.name}", disks.fat(d.change, d.bits), _result(d.name))
    for d in FAT_DAMAGES
    if (d.rule[:2] in ("F1", "F3") or d.rule in ("F201", "F202", "F203"))
    and d.rule != "F119"  # which moves all files
]
_GPT = [Row(d.rule, d.name, disks.gpt(d.name), _result(d.name)) for d in GPT_DAMAGES]
_PE = [
    Row(
        rule,
        d.name,
        disks.program(d.make, _CODE),
        _result(d.name) if rule in _PE_STARTED else NOTHING,
    )
    for d in PE_DAMAGES
    for rule in [max(d.rules)]
]
_DISK = [
    Row("D101", "all bytes are 0", lambda lab: bytes(len(lab.gpt)), NOTHING),
    Row("D102", "partitions without a FAT volume", disks.gpt_changed(disks.no_volume), NOTHING),
    Row("D103", "type of the only partition: basic data", disks.gpt_changed(
        disks.set_type(1, disks.BASIC_DATA))),
    Row("D104", "a table for sectors of 512 bytes, a disk with 4096", lambda lab: lab.gpt,
        NOTHING, sector=4096),
    Row("D105", "two ESPs", disks.gpt_changed(
        lambda disk: disk.entry(2, 0, "16s", bytes(disk.data[1024:1040])), "the second"), STARTS),
    Row("M104", "hybrid MBR that names the other partition", disks.gpt_changed(
        lambda disk: disk.put(462, "BBBBBBBBII", 0, 0, 0, 0, 0xEF, 0, 0, 0, disks.SECOND_AT, 2048),
        "the MBR's partition")),
    Row("M105", "the protective record is active", disks.gpt_changed(
        lambda disk: disk.put(446, "B", 0x80))),
    Row("M201", "overlapping records", disks.mbr((0xEF, 2048, 10240), (0x83, 4096, 4096)), NOTHING),
    Row("M202", "a record that ends beyond the disk",
        disks.mbr((0xEF, 2048, 10240), (0x83, 14336, 99999)), NOTHING),
    Row("", "the volume in a logical partition",
        disks.mbr((5, 2047, 10241), logical=((0xEF, 1, 10240),))),
    Row("M204", "type 0E", disks.mbr((0x0E, 2048, 10240))),
    Row("M205", "an MBR beside the old GPT", disks.mbr((0xEF, 2048, 10240), leftover=True)),
    Row("D102", "neither GPT header", disks.gpt("no primary header", "no backup header"), NOTHING),
    Row("G116", "the tables name different partitions", disks.gpt_changed(
        disks.other_backup, "the backup's"), STARTS),
    Row("G102", "wrong CRC, and the backup names another partition", disks.gpt_changed(
        disks.wrong_primary, "the backup's"), "starts the backup's"),
    Row("F109", "larger than its partition", disks.gpt_changed(
        lambda disk: disk.entry(1, 40, "Q", 2048 + 4000))),
    Row("F113", "hidden sectors are 0", disks.gpt_changed(
        lambda disk: disk.put((1 << 20) + 0x1C, "I", 0))),
    Row("F118", "one FAT", lambda lab: lab.mkfs("-f", "1", kib=1024)),
    Row("F119", "clusters of 64 KiB", lambda lab: lab.mkfs("-F", "12", "-s", "128", kib=8192)),
    Row("F121", "FAT32 with 40,000 sectors of one cluster each",
        disks.fat(lambda volume: volume.put(32, "I", 40_000), 32), NOTHING),
    Row("F132", "an ESP with ext4", disks.gpt_changed(disks.ext4_esp), NOTHING),
    Row("F125", "sectors of 4096 bytes on a disk with 512",
        lambda lab: lab.mkfs("-S", "4096", kib=4096)),
    Row("F125", "sectors of 512 bytes on a disk with 4096", lambda lab: lab.fats[12], sector=4096),
]  # fmt: skip
_BOOT = [
    Row("B101", "the program has another name", disks.boot_name(b"OTHER   EFI"), NOTHING),
    Row("B102", "the name is in lower case", disks.boot_name(b"BOOTX64 EFI", 0x18)),
]
_ISO = [
    Row("", "a valid ISO", lambda lab: lab.iso, sector=2048),
    Row("D106", "no boot catalog", disks.catalog_moved(0), NOTHING, sector=2048),
    Row("D106", "the catalog lies beyond the disc", disks.catalog_moved(99999), NOTHING,
        sector=2048),
    Row("D106", "platform 0 (BIOS)", disks.set_catalog(1, "B", 0, signed=True), sector=2048),
    Row("D106", "wrong checksum of the catalog", disks.set_catalog(28, "H", 1), NOTHING,
        sector=2048),
    Row("D106", "the catalog has no signature 55 AA",
        disks.set_catalog(30, "H", 0, signed=True), NOTHING, sector=2048),
    Row("D106", "the catalog does not begin with 1", disks.set_catalog(0, "B", 2, signed=True),
        NOTHING, sector=2048),
    Row("D106", "the entry is not bootable", disks.set_catalog(32, "B", 0), NOTHING, sector=2048),
    Row("D106", "the entry's block is 0", disks.set_catalog(40, "I", 0), NOTHING, sector=2048),
    Row("D106", "the entry's block lies beyond the disc", disks.set_catalog(40, "I", 99999),
        NOTHING, sector=2048),
    Row("", "the entry's count is 0", disks.set_catalog(38, "H", 0), sector=2048),
    Row("F109", "the entry's count is 4", disks.set_catalog(38, "H", 4), NOTHING, sector=2048),
    Row("F109", "the entry's count is in blocks of 2048",
        disks.set_catalog(38, "H", 512), sector=2048),
    Row("", "an unknown media type", disks.set_catalog(33, "B", 9), sector=2048),
    Row("D107", "the first entry is not bootable, the second is", disks.entry_moved(96),
        sector=2048),
    Row("", "the entry is the 63rd of the catalog", disks.entry_moved(63 * 32), sector=2048),
    Row("", "the same, on a disk with 512-byte sectors", disks.entry_moved(63 * 32), NOTHING),
    Row("", "the entry is the 15th, on a disk with 512-byte sectors", disks.entry_moved(15 * 32)),
]  # fmt: skip

ROWS = (*_DISK, *_GPT, *_FAT, *_BOOT, *_PE, *_ISO)


def markdown() -> str:
    """The rows as a table for docs/reference/firmware.md, by rule."""
    lines = [
        "| rule | fault | " + " | ".join(f"OVMF {version}" for version in VERSIONS) + " |",
        "| --- | --- | --- | --- |",
    ]
    for row in sorted(ROWS, key=_place):
        lines.append("| " + " | ".join((row.rule or "–", row.fault, *row.results)) + " |")
    return "\n".join(lines) + "\n"


def _place(row: Row) -> tuple[int, str]:
    return ("DMGFB".find(row.rule[0]) if row.rule else len("DMGFB"), row.rule)
