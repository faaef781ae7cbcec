"""Directory entries: their bytes, dates and attributes, and the reading of whole directories.

Microsoft, FAT: General Overview of On-Disk Format 1.03, "FAT Directory Structure".
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from efi_image.formats.fat.long_names import ATTRIBUTE_LONG_NAME, LongName

MAX_ENTRIES = 0x10000  # of a directory
ATTRIBUTE_LABEL = 0x08
ATTRIBUTE_DIRECTORY = 0x10
ATTRIBUTE_ARCHIVE = 0x20
ATTRIBUTE_LETTERS = "RHSVDA"  # read-only, hidden, system, volume label, directory, archive
DOT, DOT_DOT = b".          ", b"..         "

FREE_ENTRY = 0x00  # first byte of a name: this entry and all behind it are free
DELETED_ENTRY = 0xE5
KANJI_E5 = 0x05  # stands for 0xE5
LOWER_BASE, LOWER_EXTENSION = 0x08, 0x10  # NTRes, as Windows NT uses it: an 8.3 name in lower case

# Name, Attr, NTRes, CrtTimeTenth, CrtTime, CrtDate, LstAccDate, FstClusHI, WrtTime, WrtDate,
# FstClusLO, FileSize
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
_EARLIEST = 315532800  # the beginning of the year 1980, in seconds since 1970
_LATEST = 4354819198  # the last even second of the year 2107


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A date and time of two fields: steps of two seconds from 1980 to 2107, without a zone."""

    date: int
    time: int

    @classmethod
    def of(cls, seconds: int) -> Timestamp:
        """Seconds since 1970 (UTC), moved into FAT's range."""
        at = time.gmtime(min(max(seconds, _EARLIEST), _LATEST))
        return cls(
            (at.tm_year - 1980) << 9 | at.tm_mon << 5 | at.tm_mday,
            at.tm_hour << 11 | at.tm_min << 5 | at.tm_sec // 2,
        )

    def datetime(self) -> datetime | None:
        """The same without a zone; None if the fields are not a date."""
        day, at = self.date, self.time
        try:
            return datetime(
                1980 + (day >> 9), day >> 5 & 15, day & 31, at >> 11, at >> 5 & 63, (at & 31) * 2
            )
        except ValueError:
            return None


class EntryKind(Enum):
    """What a directory entry is."""

    FREE = "free"
    DELETED = "deleted"
    LONG_NAME = "long name"
    LABEL = "label"
    DOT = "dot"
    DIRECTORY = "directory"
    FILE = "file"

    @classmethod
    def of(cls, raw: bytes) -> EntryKind:
        """The kind of an entry's 32 bytes."""
        first, attributes = raw[0], raw[11]
        if first == FREE_ENTRY:
            return cls.FREE
        if first == DELETED_ENTRY:
            return cls.DELETED
        if attributes & 0x3F == ATTRIBUTE_LONG_NAME:
            return cls.LONG_NAME
        if attributes & ATTRIBUTE_LABEL:
            return cls.LABEL
        if raw[:11] in (DOT, DOT_DOT):
            return cls.DOT
        return cls.DIRECTORY if attributes & ATTRIBUTE_DIRECTORY else cls.FILE


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory entry: the 8.3 entry and the long name that belongs to it.

    `position` is the 8.3 entry's byte on the volume. `long` is '' without a long name;
    `stray_records` counts long-name entries before it that do not belong to it.
    """

    kind: EntryKind
    short: bytes
    long: str
    attributes: int
    case: int
    modified: Timestamp
    first_cluster: int
    size: int
    position: int
    stray_records: int = 0

    @property
    def short_name(self) -> str:
        """`BASE.EXT`, in lower case where the case bits say so."""
        raw = self.short
        if raw[:1] == bytes([KANJI_E5]):
            raw = bytes([DELETED_ENTRY]) + raw[1:]
        text = raw.decode("ascii" if raw.isascii() else "cp437")
        base, extension = text[:8].rstrip(), text[8:].rstrip()
        base = base.lower() if self.case & LOWER_BASE else base
        extension = extension.lower() if self.case & LOWER_EXTENSION else extension
        return f"{base}.{extension}" if extension else base

    @property
    def name(self) -> str:
        """The name to show."""
        return self.long or self.short_name


def pack_entry(
    short: bytes, attributes: int, first_cluster: int, size: int, at: Timestamp
) -> bytes:
    """An 8.3 entry's 32 bytes, all three times the same."""
    high, low = first_cluster >> 16, first_cluster & 0xFFFF
    return _ENTRY.pack(
        short, attributes, 0, 0, at.time, at.date, at.date, high, at.time, at.date, low, size
    )


def unpack_entries(
    records: Iterable[tuple[int, bytes]], *, wide: bool, deleted: bool = False
) -> Iterator[DirectoryEntry]:
    """The entries of a directory up to the first free one: files, directories, `.`, labels.

    `records` are its 32-byte records with their byte on the volume. FAT32's cluster numbers are
    `wide`. Deleted entries are left out unless asked for.
    """
    name = LongName()
    for position, raw in records:
        kind = EntryKind.of(raw)
        if kind is EntryKind.FREE:
            return
        if kind is EntryKind.LONG_NAME:
            name.add(raw)
            continue
        if kind is EntryKind.DELETED and not deleted:
            name = LongName()
            continue
        (short, attributes, case, _, _, _, _, high, written, written_on, low,
         size) = _ENTRY.unpack(raw)  # fmt: skip
        long, stray = name.take(short)
        first_cluster = low | (high << 16 if wide else 0)
        modified = Timestamp(written_on, written)
        yield DirectoryEntry(
            kind, short, long, attributes, case, modified, first_cluster, size, position, stray
        )
