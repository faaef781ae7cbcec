"""Records of a FAT directory: short entries, and the long names that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from efi_image.formats.fat.names import ATTRIBUTE_LONG_NAME, LAST_RECORD, RECORD, checksum
from efi_image.formats.fat.writer import ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, ENTRY

FREE_ENTRY = 0x00  # first byte of a name: this and all that follow are free
DELETED_ENTRY = 0xE5
KANJI_E5 = 0x05  # stands for 0xE5
LOWER_BASE, LOWER_EXTENSION = 0x08, 0x10  # Windows NT: an 8.3 name in lower case
MAX_LONG_RECORDS = 20


class Record(Enum):
    """What a directory record is."""

    FREE = "free"
    DELETED = "deleted"
    LONG_NAME = "long name"
    LABEL = "label"
    DOT = "dot"
    DIRECTORY = "directory"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Entry:
    """A directory entry: the short record and the long name that belongs to it.

    `position` is the short record's byte on the volume. `long` is '' without a long name;
    `stray_records` counts long-name records before it that do not belong to it.
    """

    kind: Record
    short: bytes
    long: str
    attributes: int
    case: int
    modified: tuple[int, int]
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

    @property
    def modified_at(self) -> datetime | None:
        """When it was last written; None if the fields are no date."""
        return moment(*self.modified)


def moment(date: int, time: int) -> datetime | None:
    """FAT's date and time (without a time zone); None if there is no such."""
    try:
        return datetime(
            1980 + (date >> 9),
            date >> 5 & 15,
            date & 31,
            time >> 11,
            time >> 5 & 63,
            (time & 31) * 2,
        )
    except ValueError:
        return None


def kind_of(raw: bytes) -> Record:
    first, attributes = raw[0], raw[11]
    if first == FREE_ENTRY:
        return Record.FREE
    if first == DELETED_ENTRY:
        return Record.DELETED
    if attributes & 0x3F == ATTRIBUTE_LONG_NAME:
        return Record.LONG_NAME
    if attributes & ATTRIBUTE_LABEL:
        return Record.LABEL
    if raw[:11] in (b".          ", b"..         "):
        return Record.DOT
    return Record.DIRECTORY if attributes & ATTRIBUTE_DIRECTORY else Record.FILE


class LongName:
    """Gathers the records of a long name, and says whether they belong to a short one."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._next = 0
        self._tie = 0
        self.count = 0  # records seen since the last short one

    def add(self, raw: bytes) -> None:
        """The next record."""
        order, first, _, _, tie, second, _, third = RECORD.unpack(raw)
        self.count += 1
        number = order & ~LAST_RECORD
        if order & LAST_RECORD and 1 <= number <= MAX_LONG_RECORDS:
            self._parts, self._tie = [], tie
        elif not number or number != self._next or tie != self._tie:
            self._parts, self._next = [], 0
            return
        self._parts.append(first + second + third)
        self._next = number - 1

    def take(self, short: bytes) -> tuple[str, int]:
        """The long name of that short one ('' if none), and the stray records before it."""
        parts, count = self._parts, self.count
        whole = bool(parts) and self._next == 0 and checksum(short) == self._tie
        self._parts, self._next, self.count = [], 0, 0
        if not whole:
            return "", count
        units = b"".join(reversed(parts)).decode("utf-16-le", "surrogatepass")
        return units.split("\0", 1)[0], count - len(parts)


def parse_entry(raw: bytes, name: LongName, position: int, *, wide: bool) -> Entry:
    """A short record with the long name gathered before it; `wide`: as FAT32 has it."""
    (short, attributes, case, _tenths, _created, _created_on, _accessed, high, written,
     written_on, low, size) = ENTRY.unpack(raw)  # fmt: skip
    long, stray = name.take(short)
    return Entry(
        kind=kind_of(raw),
        short=short,
        long=long,
        attributes=attributes,
        case=case,
        modified=(written_on, written),
        first_cluster=low | (high << 16 if wide else 0),
        size=size,
        position=position,
        stray_records=stray,
    )
