"""The MBR: protective before a GPT, or the disk's own table."""

from __future__ import annotations

from efi_image.formats.mbr import (
    MAX_SECTORS,
    PROTECTIVE,
    RECORD_SIZE,
    SIGNATURE,
    SIZE,
    TABLE_OFFSET,
    Mbr,
    protective_mbr,
    unpack_records,
)
from efi_image.verify.context import Scope
from efi_image.verify.finding import Fix

TYPE_AT, FIRST_AT, SIZE_AT = 4, 8, 12


def check_protective(scope: Scope, mbr: Mbr | None, sectors: int) -> None:
    """The MBR before the GPT of a disk of so many sectors."""
    rows = unpack_records(scope.medium.peek(0, SIZE)) if mbr else []
    primary = [row for row in rows if row.os_type]
    guard = next((row for row in primary if row.os_type == PROTECTIVE), None)
    if guard is None:
        _missing(scope, has_others=bool(primary), sectors=sectors)
        return
    _check_unused(scope)
    place = TABLE_OFFSET + (guard.number - 1) * RECORD_SIZE
    if guard.first_lba != 1:
        fix = scope.put("let the protective partition begin at 1", place + FIRST_AT, "I", 1)
        scope.add("M102", f"it begins at sector {guard.first_lba}", place, fix=fix)
    if guard.active:
        fix = scope.put("cleared the protective partition's mark", place, "B", 0)
        scope.add("M105", "its status is 0x80", place, fix=fix)
    wanted = min(sectors - 1, MAX_SECTORS)
    if len(primary) > 1:
        others = ", ".join(str(row.number) for row in primary if row is not guard)
        scope.add("M104", f"records {others}", TABLE_OFFSET)
    elif guard.sectors != wanted:
        fix = scope.put(f"gave the protective partition {wanted} sectors", place + SIZE_AT,
                        "I", wanted)  # fmt: skip
        cut_off = scope.has("G117")  # what is to be mended first, if it can be
        reason = f"it has {guard.sectors} sectors, not {wanted}"
        scope.add("M103", reason, place, fix=None if cut_off else fix)


def _check_unused(scope: Scope) -> None:
    """What is no partition is all zeros."""
    for number in range(4):
        place = TABLE_OFFSET + number * RECORD_SIZE
        row = scope.medium.read(place, RECORD_SIZE)
        if not row[TYPE_AT] and any(row):
            fix = Fix(f"cleared record {number + 1} of the MBR", (scope.patch(place, bytes(16)),))
            scope.add("M106", f"record {number + 1}", place, fix=fix)


def _missing(scope: Scope, *, has_others: bool, sectors: int) -> None:
    rows = protective_mbr(sectors)[TABLE_OFFSET:SIZE]
    is_empty = not any(scope.medium.peek(TABLE_OFFSET, SIZE - TABLE_OFFSET - len(SIGNATURE)))
    fix = None
    if is_empty or not has_others:
        fix = Fix("wrote a protective MBR", (scope.patch(TABLE_OFFSET, rows),))
    scope.add("M101", "there is no partition of type 0xEE", TABLE_OFFSET, fix=fix)


def check_table(scope: Scope, mbr: Mbr, sector_size: int) -> None:
    """The MBR of a disk that has no other table."""
    last = scope.medium.size // sector_size
    rows = sorted(mbr.partitions, key=lambda row: row.first_lba)
    for row in rows:
        if row.first_lba + row.sectors > last:
            reason = (
                f"partition {row.number} ends at sector {row.first_lba + row.sectors - 1} of {last}"
            )
            scope.add("M202", reason, row.first_lba * sector_size)
    end, number = 0, 0
    for row in rows:
        if row.first_lba < end:
            reason = f"partitions {number} and {row.number}"
            scope.add("M201", reason, row.first_lba * sector_size)
        if row.first_lba + row.sectors > end:
            end, number = row.first_lba + row.sectors, row.number
    if mbr.fault:
        scope.add("M203", mbr.fault)
