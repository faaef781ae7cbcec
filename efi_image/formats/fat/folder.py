"""A directory in memory: its records, and the entries in them, found by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.formats.fat.directory import (
    DELETED_ENTRY,
    FREE_ENTRY,
    DirectoryEntry,
    EntryKind,
    unpack_entries,
)
from efi_image.formats.fat.geometry import DIRECTORY_ENTRY
from efi_image.formats.fat.long_names import entry_count, pack_long_name
from efi_image.formats.fat.names import ShortNames, exact_short, fold

_EMPTY = bytes(DIRECTORY_ENTRY)


@dataclass(frozen=True, slots=True)
class Item:
    """A file or directory; its records are `first` to `last`, the last is its 8.3 entry."""

    entry: DirectoryEntry
    first: int
    last: int

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.entry.kind is EntryKind.DIRECTORY


class Folder:
    """A directory of 32-byte records; `changed` are the numbers of those that changed.

    `cluster` is its first, 0 for the root. `records` are all that there is room for.
    """

    def __init__(self, cluster: int, records: list[bytes], *, wide: bool) -> None:
        self.cluster = cluster
        self.records = records
        self.changed: list[int] = []
        self._items: dict[str, Item] = {}  # by their folded names, also the 8.3 names
        self._wide = wide
        self._from = 0  # all records before it are in use
        entries = list(unpack_entries(enumerate(records), wide=wide))
        self._shorts = ShortNames(entry.short.decode("latin-1") for entry in entries)
        for entry in entries:
            if entry.kind in (EntryKind.FILE, EntryKind.DIRECTORY):
                self._know(self._item(entry))

    def _item(self, entry: DirectoryEntry) -> Item:
        first = last = entry.position
        while first and EntryKind.of(self.records[first - 1]) is EntryKind.LONG_NAME:
            first -= 1
        return Item(entry, first, last)

    def _know(self, item: Item) -> None:
        """A long name takes precedence over another entry's 8.3 name."""
        self._items[fold(item.entry.name)] = item
        self._items.setdefault(fold(item.entry.short_name), item)

    def find(self, name: str) -> Item | None:
        """The entry with that name, or that 8.3 name."""
        return self._items.get(fold(name))

    def items(self) -> Iterator[Item]:
        """All files and directories."""
        return iter({item.last: item for item in self._items.values()}.values())

    # ---- changes

    def room(self, name: str) -> int:
        """Records that are missing at the end for that name and its 8.3 entry; 0 if none."""
        _, missing = self._gap(1 + _long_records(name))
        return missing

    def grow(self, count: int) -> None:
        """Add that many free records."""
        self.records += [_EMPTY] * count

    def add(self, name: str, record: bytes) -> Item:
        """Add an entry (its 32 bytes, in which the name does not count) where there is room."""
        short = self._shorts.claim(name)
        long = pack_long_name(name, short)
        raw = long + short + record[len(short) : 12] + b"\0" + record[13:]
        parts = [raw[at : at + DIRECTORY_ENTRY] for at in range(0, len(raw), DIRECTORY_ENTRY)]
        first, missing = self._gap(len(parts))
        assert not missing
        end = self._end()
        for number, part in enumerate(parts, first):
            self.put(number, part)
        following = first + len(parts)
        if end < following < len(self.records) and self.records[following][0] != FREE_ENTRY:
            self.put(following, _EMPTY)  # the old end mark is overwritten
        return self._learn(following - 1)

    def update(self, item: Item, record: bytes) -> Item:
        """Replace an 8.3 entry by another with the same name."""
        self.put(item.last, record)
        return self._learn(item.last)

    def _learn(self, last: int) -> Item:
        item = self._item(self._entry(last))
        self._know(item)
        return item

    def _entry(self, last: int) -> DirectoryEntry:
        first = max(0, last - 20)
        rows = ((number, self.records[number]) for number in range(first, last + 1))
        found = [e for e in unpack_entries(rows, wide=self._wide) if e.position == last]
        return found[0]

    def remove(self, item: Item) -> None:
        """Mark an entry and its long name as deleted; the last record first."""
        for number in range(item.last, item.first - 1, -1):
            self.put(number, bytes([DELETED_ENTRY]) + self.records[number][1:])
        self._from = min(self._from, item.first)
        self._shorts.release(item.entry.short)
        self._items = {key: each for key, each in self._items.items() if each.last != item.last}

    def put(self, number: int, record: bytes) -> None:
        """Replace a record."""
        self.records[number] = record
        self.changed.append(number)

    def _end(self) -> int:
        """The number of the first record that was never used."""
        records = self.records
        return next((n for n in range(self._from, len(records)) if not records[n][0]), len(records))

    def _gap(self, count: int) -> tuple[int, int]:
        """Where that many free records begin, and how many of them are still missing."""
        first, ended = self._from, False
        for number in range(self._from, len(self.records)):
            mark = self.records[number][0]
            ended = ended or mark == FREE_ENTRY
            if not ended and mark != DELETED_ENTRY:
                if first == self._from == number:
                    self._from += 1
                first = number + 1
            elif number + 1 - first == count:
                return first, 0
        return first, count - (len(self.records) - first)


def _long_records(name: str) -> int:
    return entry_count(name, (exact_short(name) or "").encode("ascii"))
