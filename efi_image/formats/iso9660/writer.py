"""An ISO 9660 file system whose El Torito boot image is the EFI system partition.

It stands between a disk's GUID partition table and its first partition, so that the same
image starts from optical media, by El Torito, and from any other disk, by its table. The
file system has two files: the boot catalog, and the FAT volume.

ECMA-119; El Torito 1.0; UEFI specification, 13.3.2.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.build.partitions import ISO_BLOCK, ISO_SECTOR
from efi_image.errors import DoesNotFitError

FIRST_BLOCK = 16  # before it is the system area, which has the partition table
BOOT_RECORD, TERMINATOR, CATALOG, PATHS_LITTLE, PATHS_BIG, ROOT = range(17, 23)
MAX_EXTENT = (1 << 32) - ISO_BLOCK  # bytes; a larger file has several extents
PLATFORM_UEFI = 0xEF
IMAGE_NAME = b"EFI.IMG;1"
CATALOG_NAME = b"BOOT.CAT;1"

_DIRECTORY, _MORE_EXTENTS = 0x02, 0x80
_LATEST = 5869583999  # the end of the year 2155
_D_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass(frozen=True, slots=True)
class Iso:
    """The file system of an image: sizes in bytes, `start` and `volume` of the FAT volume.

    `size` and `start` are multiples of ISO_BLOCK.
    """

    size: int
    start: int
    volume: int
    label: str
    seconds: int

    def blocks(self) -> bytes:
        """The blocks from FIRST_BLOCK up to ISO_END."""
        parts = (
            self._primary(),
            _descriptor(
                0, b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", CATALOG)
            ),
            _descriptor(255, b""),
            self._catalog(),
            _path_table("<"),
            _path_table(">"),
            b"".join(self._root()),
        )
        return b"".join(part.ljust(ISO_BLOCK, b"\0") for part in parts)

    @property
    def _at(self) -> time.struct_time:
        return time.gmtime(min(self.seconds, _LATEST))

    def _primary(self) -> bytes:
        name = "".join(c if c in _D_CHARACTERS else "_" for c in self.label).encode("ascii")
        date = time.strftime("%Y%m%d%H%M%S00", self._at).encode("ascii") + b"\0"
        never = b"0" * 16 + b"\0"
        blank = b" " * 128
        body = b"".join(
            (
                b"\0" + b" " * 32 + name.ljust(32) + bytes(8),
                _both4(self.size // ISO_BLOCK) + bytes(32),
                _both2(1) + _both2(1) + _both2(ISO_BLOCK) + _both4(len(_path_table("<"))),
                struct.pack("<II", PATHS_LITTLE, 0) + struct.pack(">II", PATHS_BIG, 0),
                self._record(b"\0", ROOT, ISO_BLOCK, _DIRECTORY),
                blank * 3 + b"ZPP-IMAGE".ljust(128),
                b" " * (3 * 37),
                date + date + never + never + b"\x01",
            )
        )
        return _descriptor(1, body)

    def _catalog(self) -> bytes:
        """The boot catalog: what is checked, and the only entry."""
        head = struct.pack("<BBH24sHH", 1, PLATFORM_UEFI, 0, b"", 0, 0xAA55)
        check = -sum(struct.unpack("<16H", head)) & 0xFFFF
        head = head[:28] + struct.pack("<H", check) + head[30:]
        sectors = self.volume // ISO_SECTOR
        # what does not fit into 16 bits reaches to the end of the file system
        count = sectors if sectors < 1 << 16 else 0
        entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, count, self.start // ISO_BLOCK)
        return head + entry.ljust(32, b"\0")

    def _root(self) -> Iterator[bytes]:
        yield self._record(b"\0", ROOT, ISO_BLOCK, _DIRECTORY)
        yield self._record(b"\1", ROOT, ISO_BLOCK, _DIRECTORY)
        yield self._record(CATALOG_NAME, CATALOG, ISO_BLOCK, 0)
        room = ISO_BLOCK - 2 * 34 - 44
        for done in range(0, self.volume, MAX_EXTENT):
            size = min(self.volume - done, MAX_EXTENT)
            more = _MORE_EXTENTS if done + size < self.volume else 0
            record = self._record(IMAGE_NAME, (self.start + done) // ISO_BLOCK, size, more)
            room -= len(record)
            if room < 0:
                raise DoesNotFitError(f"an ISO image cannot have a volume of {self.volume} bytes")
            yield record

    def _record(self, name: bytes, block: int, size: int, flags: int) -> bytes:
        at = self._at
        date = struct.pack("7B", at.tm_year - 1900, *at[1:6], 0)
        body = b"\0" + _both4(block) + _both4(size) + date + bytes((flags, 0, 0)) + _both2(1)
        body += bytes((len(name),)) + name
        if len(body) % 2 == 0:
            body += b"\0"
        return bytes((len(body) + 1,)) + body


def _both2(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both4(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _descriptor(kind: int, body: bytes) -> bytes:
    """A volume descriptor of a block."""
    return struct.pack("<B5sB", kind, b"CD001", 1) + body


def _path_table(order: str) -> bytes:
    """The path table, with the root directory alone."""
    return struct.pack(f"{order}BBIHBB", 1, 0, ROOT, 1, 0, 0)
