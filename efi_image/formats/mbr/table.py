"""A master boot record with its up to four primary partitions: UEFI specification, 5.2."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MBR_SIZE = 512
MBR_ENTRIES = 4
MAX_SECTORS = 0xFFFFFFFF
HEADS = 255
SECTORS_PER_TRACK = 63
LAST_CYLINDER = 1023

_RECORD = struct.Struct("<B3sB3sII")


@dataclass(frozen=True, slots=True)
class MbrPartition:
    """A primary partition; `kind` is its one-byte type, such as 0xEF for an ESP."""

    kind: int
    first_lba: int
    sectors: int

    def record(self) -> bytes:
        """The record's bytes."""
        last = self.first_lba + self.sectors - 1
        return _RECORD.pack(
            0, chs(self.first_lba), self.kind, chs(last), self.first_lba, self.sectors
        )


@dataclass(frozen=True, slots=True)
class Mbr:
    """The table of a disk: a signature that tells it from others, and its partitions."""

    signature: int
    partitions: tuple[MbrPartition, ...]

    def sector(self) -> bytes:
        """The first 512 bytes of the disk; its code goes on to the BIOS's next device."""
        code = b"\xcd\x18\xeb\xfe".ljust(440, b"\0")
        records = b"".join(partition.record() for partition in self.partitions)
        head = code + struct.pack("<IH", self.signature, 0)
        return head + records.ljust(MBR_ENTRIES * _RECORD.size, b"\0") + b"\x55\xaa"


def chs(lba: int) -> bytes:
    """Cylinder, head and sector of an LBA on 255 heads; the last of them for what is beyond."""
    cylinder, rest = divmod(lba, HEADS * SECTORS_PER_TRACK)
    head, sector = divmod(rest, SECTORS_PER_TRACK)
    if cylinder > LAST_CYLINDER:
        cylinder, head, sector = LAST_CYLINDER, HEADS - 1, SECTORS_PER_TRACK - 1
    return bytes((head, sector + 1 | cylinder >> 2 & 0xC0, cylinder & 0xFF))
