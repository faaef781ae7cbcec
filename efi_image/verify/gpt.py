"""The GUID partition table: both headers, both entry arrays, the partitions.

Source: UEFI Specification 2.10, 5.3 (GPT disk layout).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from efi_image.formats.gpt.structures import (
    ALIGNMENT,
    ENTRY_SIZE,
    HEADER_SIZE,
    REVISION,
    Gpt,
    GptCopy,
    PartitionEntry,
    header_pair,
    sectors_of,
)
from efi_image.verify.context import CheckContext
from efi_image.verify.finding import Fix

MIN_ENTRIES_SIZE = 16384


@dataclass(frozen=True, slots=True)
class _Codes:
    """The rules of one of the two copies."""

    name: str
    missing: str
    crc: str
    contradiction: str
    entries: str


_PRIMARY = _Codes("primary", "G101", "G102", "G103", "G104")
_BACKUP = _Codes("backup", "G111", "G112", "G113", "G114")
_COMMON = {  # the fields that are the same in both headers
    "disk_guid": "disk GUID",
    "first_usable_lba": "first usable sector",
    "last_usable_lba": "last usable sector",
    "entry_count": "number of entries",
    "entry_size": "size of an entry",
    "entries_crc": "entries",
}


class GptCheck:
    """Checks both copies of a disk's GPT, and its partitions."""

    def __init__(self, context: CheckContext, table: Gpt) -> None:
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

    def _half(self, codes: _Codes, half: GptCopy | None, at: int, fix: Fix | None) -> None:
        add = self._context.add
        if half is None:
            if not self._is_cut_off():
                add(codes.missing, f"sector {at} has no GPT signature", at * self._size, fix=fix)
            return
        header = half.header
        offset = half.lba * self._size
        faults = list(self._contradictions(half))
        if faults:
            add(codes.contradiction, "; ".join(faults), offset, fix=fix)
        elif not header.crc_valid:
            add(codes.crc, f"the header has {header.crc:08x}", offset + 16, fix=fix)
        if header.revision != REVISION:
            add("G106", f"it is {header.revision >> 16}.{header.revision & 0xFFFF}", offset)
        if half.fault:
            return
        if not half.entries_crc_valid:
            add(codes.entries, f"the header has {header.entries_crc:08x}",
                header.entries_lba * self._size, fix=fix)  # fmt: skip
        total = header.array_size
        if codes is _PRIMARY and total < MIN_ENTRIES_SIZE:
            room = (header.first_usable_lba - header.entries_lba) * self._size
            if room < MIN_ENTRIES_SIZE:
                add("G105", f"it reserves {room} bytes", offset)

    def _contradictions(self, half: GptCopy) -> Iterator[str]:
        header = half.header
        if not HEADER_SIZE <= header.size <= self._size:
            yield f"its size is {header.size} bytes"
        if header.my_lba != half.lba:
            yield f"it claims to be in sector {header.my_lba}"
        if half.fault:
            yield half.fault
            return
        times, rest = divmod(header.entry_size, ENTRY_SIZE)
        if rest or times & (times - 1):
            yield f"its entries have {header.entry_size} bytes"
        if header.first_usable_lba > header.last_usable_lba + 1:
            yield f"its usable sectors are {header.first_usable_lba} to {header.last_usable_lba}"
        yield from self._entries_place(half)

    def _entries_place(self, half: GptCopy) -> Iterator[str]:
        header = half.header
        end = header.entries_lba + sectors_of(header.array_size, self._size)
        entries = f"its entries are in sectors {header.entries_lba} to {end - 1}"
        is_primary = half.lba == 1
        if is_primary and (header.entries_lba < 2 or end > header.first_usable_lba):
            yield f"{entries}, not before the partitions"
        if not is_primary and (header.entries_lba <= header.last_usable_lba or end > half.lba):
            yield f"{entries}, not after the partitions"
        if is_primary and header.alternate_lba <= 1:
            yield f"it says that the backup is in sector {header.alternate_lba}"
        if not is_primary and header.alternate_lba != 1:
            yield f"it says that the primary is in sector {header.alternate_lba}"

    def _is_cut_off(self) -> bool:
        """Whether the primary header is valid and says that the disk is longer."""
        primary = self._table.primary
        return bool(primary and primary.usable and primary.header.alternate_lba > self._last)

    def _pair(self, fix: Fix | None) -> None:
        primary, backup = self._table.primary, self._table.backup
        if self._is_cut_off() and primary:
            other = primary.header.alternate_lba
            reason = f"it has {self._last + 1} sectors, the backup header belongs in sector {other}"
            self._context.add("G117", reason, self._last * self._size, fix=fix)
        if backup and backup.lba != self._last:
            reason = f"it is in sector {backup.lba}, the last is {self._last}"
            self._context.add("G115", reason, backup.lba * self._size, fix=fix)
        if not primary or not backup:
            return
        names = _differences(primary, backup)
        if primary.usable and backup.usable and names:
            self._context.add("G116", "they differ in " + ", ".join(names), self._size, fix=fix)
        elif primary.usable and backup.lba == self._last != primary.header.alternate_lba:
            reason = f"the primary says that its backup is in sector {primary.header.alternate_lba}"
            self._context.add("G116", reason, self._size, fix=fix)

    # ---- repair

    def _good(self) -> GptCopy | None:
        """The table that both are rewritten from."""
        primary, backup = self._table.primary, self._table.backup
        for half in (primary, backup):
            if half and half.usable and not any(self._contradictions(half)):
                return half
        if primary and primary.entries_crc_valid and not any(self._contradictions(primary)):
            return primary  # only its own checksum is wrong
        return None

    def _fix(self) -> Fix | None:
        """Rewrites both tables from the valid one; None if there is none, or no room."""
        good = self._good()
        if good is None:
            return None
        header, size = good.header, self._size
        array = good.array
        sectors = sectors_of(len(array), size)
        backup_entries = self._last - sectors
        moved = self._table.backup is None or self._table.backup.lba != self._last
        last_usable = backup_entries - 1
        if not moved:
            last_usable = min(header.last_usable_lba, last_usable)
        entries_lba = header.entries_lba if good.lba == 1 else 2
        if entries_lba + sectors > header.first_usable_lba:
            return None
        if any(entry.last_lba > last_usable for entry in good.entries):
            return None
        common = replace(
            header, last_usable_lba=last_usable, entries_lba=entries_lba,
            revision=REVISION, reserved=0, more=b"",
        )  # fmt: skip
        primary, backup = header_pair(common, self._last, size, array)
        patches = [
            self._context.patch(entries_lba * size, array),
            self._context.patch(size, primary.pack()),
            self._context.patch(backup_entries * size, array),
            self._context.patch(self._last * size, backup.pack()),
        ]
        if self._table.backup and moved:
            old = self._table.backup.lba
            if not any(entry.first_lba <= old <= entry.last_lba for entry in good.entries):
                patches.insert(0, self._context.patch(old * size, bytes(HEADER_SIZE)))
        name = "primary" if good.lba == 1 else "backup"
        return self._context.fix(f"rewrote both partition tables from the {name} one", *patches)

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
            last = min(header.last_usable_lba, self._last)
            if entry.first_lba < header.first_usable_lba or entry.last_lba > last:
                reason = f"{_shown(entry)}, usable are {header.first_usable_lba} to {last}"
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


def _shown(entry: PartitionEntry) -> str:
    return f"partition {entry.number} has sectors {entry.first_lba} to {entry.last_lba}"


def _differences(one: GptCopy, other: GptCopy) -> list[str]:
    """The names of the header fields that differ though they should not."""
    return [
        text for field, text in _COMMON.items()
        if getattr(one.header, field) != getattr(other.header, field)
    ]  # fmt: skip
