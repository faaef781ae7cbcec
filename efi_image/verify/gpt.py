"""The GUID partition table: both headers, both entry arrays, the partitions.

Source: UEFI Specification 2.10, 5.3 (GPT disk layout).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.formats.gpt.reader import MAX_ENTRIES_SIZE, Entry, Half, Header, Table
from efi_image.formats.gpt.table import ALIGNMENT, ENTRY_SIZE, HEADER, HEADER_SIZE, SIGNATURE
from efi_image.verify.context import CheckContext
from efi_image.verify.finding import Fix

REVISION = 0x00010000
MIN_ENTRIES_SIZE = 16384


@dataclass(frozen=True)
class _Codes:
    """The rules of one of the two tables."""

    name: str
    missing: str
    crc: str
    contradiction: str
    entries: str


_PRIMARY = _Codes("primary", "G101", "G102", "G103", "G104")
_BACKUP = _Codes("backup", "G111", "G112", "G113", "G114")


class GptCheck:
    """Checks a table on a disk."""

    def __init__(self, context: CheckContext, table: Table) -> None:
        self._context = context
        self._table = table
        self._size = table.sector_size
        self._last = context.medium.size // self._size - 1

    def run(self) -> None:
        """Check everything."""
        fix = self._fix()
        self._half(_PRIMARY, self._table.primary, 1, fix)
        self._half(_BACKUP, self._table.backup, self._last, fix)
        self._pair(fix)
        self._entries()

    # ---- the two tables

    def _half(self, codes: _Codes, half: Half | None, at: int, fix: Fix | None) -> None:
        add = self._context.add
        if half is None:
            if not self._is_cut_off():
                add(codes.missing, f"sector {at} has none", at * self._size, fix=fix)
            return
        header = half.header
        offset = header.at_lba * self._size
        faults = list(self._contradictions(half))
        if faults:
            add(codes.contradiction, "; ".join(faults), offset, fix=fix)
        elif not header.crc_right:
            add(codes.crc, f"the header has {header.crc:08x}", offset + 16, fix=fix)
        if header.revision != REVISION:
            add("G106", f"revision {header.revision >> 16}.{header.revision & 0xFFFF}", offset)
        if half.fault:
            return
        if not half.entries_crc_right:
            add(codes.entries, f"the header has {header.entries_crc:08x}",
                header.entries_lba * self._size, fix=fix)  # fmt: skip
        total = header.entries * header.entry_size
        if codes is _PRIMARY and total < MIN_ENTRIES_SIZE:
            room = (header.first_usable - header.entries_lba) * self._size
            if room < MIN_ENTRIES_SIZE:
                add("G105", f"it reserves {room} bytes", offset)

    def _contradictions(self, half: Half) -> Iterator[str]:
        header = half.header
        if not HEADER_SIZE <= header.size <= self._size:
            yield f"its size is {header.size} bytes"
        if header.own_lba != header.at_lba:
            yield f"it claims to be in sector {header.own_lba}"
        if half.fault:
            yield half.fault
            return
        times, rest = divmod(header.entry_size, ENTRY_SIZE)
        if rest or times & (times - 1):
            yield f"its entries have {header.entry_size} bytes"
        if header.first_usable > header.last_usable + 1:
            yield f"its usable sectors are {header.first_usable} to {header.last_usable}"
        yield from self._entries_place(header)

    def _entries_place(self, header: Header) -> Iterator[str]:
        end = header.entries_lba + self._sectors(header.entries * header.entry_size)
        entries = f"its entries are in sectors {header.entries_lba} to {end - 1}"
        is_primary = header.at_lba == 1
        if is_primary and (header.entries_lba < 2 or end > header.first_usable):
            yield f"{entries}, not before the partitions"
        if not is_primary and (header.entries_lba <= header.last_usable or end > header.at_lba):
            yield f"{entries}, not after the partitions"
        if is_primary and header.other_lba <= 1:
            yield f"it says that the backup is in sector {header.other_lba}"
        if not is_primary and header.other_lba != 1:
            yield f"it says that the primary is in sector {header.other_lba}"

    def _sectors(self, size: int) -> int:
        return -(-size // self._size)

    def _is_cut_off(self) -> bool:
        """Whether the primary header is valid and says that the disk is longer."""
        primary = self._table.primary
        return bool(primary and primary.usable and primary.header.other_lba > self._last)

    def _pair(self, fix: Fix | None) -> None:
        primary, backup = self._table.primary, self._table.backup
        if self._is_cut_off() and primary:
            other = primary.header.other_lba
            reason = f"it has {self._last + 1} sectors, the backup header belongs in sector {other}"
            self._context.add("G117", reason, self._last * self._size, fix=fix)
        if backup and backup.header.at_lba != self._last:
            reason = f"it is in sector {backup.header.at_lba}, the last is {self._last}"
            self._context.add("G115", reason, backup.header.at_lba * self._size, fix=fix)
        if not primary or not backup:
            return
        if primary.usable and backup.usable and _essence(primary) != _essence(backup):
            self._context.add("G116", _difference(primary, backup), self._size, fix=fix)
        elif primary.usable and backup.header.at_lba == self._last != primary.header.other_lba:
            reason = f"the primary says that its backup is in sector {primary.header.other_lba}"
            self._context.add("G116", reason, self._size, fix=fix)

    # ---- repair

    def _good(self) -> Half | None:
        """The table that both are rewritten from."""
        primary, backup = self._table.primary, self._table.backup
        for half in (primary, backup):
            if half and half.usable and not any(self._contradictions(half)):
                return half
        if primary and primary.entries_crc_right and not any(self._contradictions(primary)):
            return primary  # only its own checksum is wrong
        return None

    def _fix(self) -> Fix | None:
        """Rewrites both tables from the valid one; None if there is none, or no room."""
        good = self._good()
        if good is None:
            return None
        header, size = good.header, self._size
        total = header.entries * header.entry_size
        if total > MAX_ENTRIES_SIZE:
            return None
        data = self._context.medium.read(header.entries_lba * size, total)
        sectors = self._sectors(total)
        backup_entries = self._last - sectors
        moved = self._table.backup is None or self._table.backup.header.at_lba != self._last
        last_usable = backup_entries - 1 if moved else min(header.last_usable, backup_entries - 1)
        entries_lba = header.entries_lba if header.at_lba == 1 else 2
        if entries_lba + sectors > header.first_usable:
            return None
        if any(entry.last_lba > last_usable for entry in good.entries):
            return None
        crc = zlib.crc32(data)
        patches = [
            self._context.patch(entries_lba * size, data),
            self._context.patch(
                size, _header(header, 1, self._last, entries_lba, last_usable, crc)
            ),
            self._context.patch(backup_entries * size, data),
            self._context.patch(
                self._last * size, _header(header, self._last, 1, backup_entries, last_usable, crc)
            ),
        ]
        if self._table.backup and moved:
            old = self._table.backup.header.at_lba
            if not any(entry.first_lba <= old <= entry.last_lba for entry in good.entries):
                patches.insert(0, self._context.patch(old * size, bytes(HEADER_SIZE)))
        name = "primary" if header.at_lba == 1 else "backup"
        return Fix(f"rewrote both partition tables from the {name} one", tuple(patches))

    # ---- entries

    def _entries(self) -> None:
        best, add = self._table.best, self._context.add
        header = best.header
        end, number = 0, 0
        guids: dict[object, int] = {}
        for entry in sorted(best.entries, key=lambda entry: entry.first_lba):
            offset = entry.first_lba * self._size
            if entry.sectors <= 0:
                add("G203", f"{_shown(entry)}", offset)
                continue
            last = min(header.last_usable, self._last)
            if entry.first_lba < header.first_usable or entry.last_lba > last:
                reason = f"{_shown(entry)}, usable are {header.first_usable} to {last}"
                add("G202", reason, offset)
            if entry.first_lba < end:
                add("G201", f"partitions {number} and {entry.number}", offset)
            if entry.last_lba + 1 > end:
                end, number = entry.last_lba + 1, entry.number
            if entry.guid in guids:
                add("G204", f"partitions {guids[entry.guid]} and {entry.number}", offset)
            guids[entry.guid] = entry.number
            if offset % ALIGNMENT:
                add("G205", f"{_shown(entry)}", offset)


def _shown(entry: Entry) -> str:
    return f"partition {entry.number} has sectors {entry.first_lba} to {entry.last_lba}"


def _essence(half: Half) -> tuple[object, ...]:
    header = half.header
    return (header.disk_guid, header.first_usable, header.last_usable, header.entries,
            header.entry_size, header.entries_crc)  # fmt: skip


def _difference(one: Half, other: Half) -> str:
    names = ("disk GUID", "first usable sector", "last usable sector", "number of entries",
             "size of an entry", "entries")  # fmt: skip
    pairs = zip(names, _essence(one), _essence(other), strict=True)
    return "they differ in " + ", ".join(name for name, a, b in pairs if a != b)


def _header(
    header: Header, own: int, other: int, entries_lba: int, last_usable: int, entries_crc: int
) -> bytes:
    """A header's bytes, with its checksum."""

    def pack(crc: int) -> bytes:
        return HEADER.pack(
            SIGNATURE, REVISION, HEADER_SIZE, crc, 0, own, other, header.first_usable, last_usable,
            header.disk_guid.bytes_le, entries_lba, header.entries, header.entry_size, entries_crc,
        )  # fmt: skip

    return pack(zlib.crc32(pack(0)))
