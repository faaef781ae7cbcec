"""The MBR: protective before a GPT, or the disk's own table."""

from __future__ import annotations

from efi_image.formats.gpt.table import MBR_SIGNATURE, MBR_SIZE, MBR_TABLE, protective_mbr
from efi_image.formats.mbr.reader import PROTECTIVE, Mbr, records
from efi_image.verify.context import Scope
from efi_image.verify.finding import Fix

RECORD_SIZE = 16
TYPE_AT, FIRST_AT, SIZE_AT = 4, 8, 12
LARGEST = 0xFFFFFFFF


def check_protective(scope: Scope, mbr: Mbr | None, sectors: int) -> None:
    """The MBR before the GPT of a disk of so many sectors."""
    rows = records(scope.medium.peek(0, MBR_SIZE)) if mbr else []
    primary = [row for row in rows if row.type]
    guard = next((row for row in primary if row.type == PROTECTIVE), None)
    if guard is None:
        _missing(scope, has_others=bool(primary), sectors=sectors)
        return
    _check_unused(scope)
    place = MBR_TABLE + (guard.number - 1) * RECORD_SIZE
    if guard.first != 1:
        fix = scope.put("let the protective partition begin at 1", place + FIRST_AT, "I", 1)
        scope.add("M102", f"it begins at sector {guard.first}", place, fix=fix)
    if guard.active:
        fix = scope.put("cleared the protective partition's mark", place, "B", 0)
        scope.add("M105", "its status is 0x80", place, fix=fix)
    wanted = min(sectors - 1, LARGEST)
    if len(primary) > 1:
        others = ", ".join(str(row.number) for row in primary if row is not guard)
        scope.add("M104", f"records {others}", MBR_TABLE)
    elif guard.sectors != wanted:
        fix = scope.put(f"gave the protective partition {wanted} sectors", place + SIZE_AT,
                        "I", wanted)  # fmt: skip
        cut_off = scope.has("G117")  # what is to be mended first, if it can be
        reason = f"it has {guard.sectors} sectors, not {wanted}"
        scope.add("M103", reason, place, fix=None if cut_off else fix)


def _check_unused(scope: Scope) -> None:
    """What is no partition is all zeros."""
    for number in range(4):
        place = MBR_TABLE + number * RECORD_SIZE
        row = scope.medium.read(place, RECORD_SIZE)
        if not row[TYPE_AT] and any(row):
            fix = Fix(f"cleared record {number + 1} of the MBR", (scope.patch(place, bytes(16)),))
            scope.add("M106", f"record {number + 1}", place, fix=fix)


def _missing(scope: Scope, *, has_others: bool, sectors: int) -> None:
    rows = protective_mbr(sectors)[MBR_TABLE:MBR_SIZE]
    is_empty = not any(scope.medium.peek(MBR_TABLE, MBR_SIZE - MBR_TABLE - len(MBR_SIGNATURE)))
    fix = None
    if is_empty or not has_others:
        fix = Fix("wrote a protective MBR", (scope.patch(MBR_TABLE, rows),))
    scope.add("M101", "there is no partition of type 0xEE", MBR_TABLE, fix=fix)


def check_table(scope: Scope, mbr: Mbr, sector_size: int) -> None:
    """The MBR of a disk that has no other table."""
    last = scope.medium.size // sector_size
    rows = sorted(mbr.partitions, key=lambda row: row.first)
    for row in rows:
        if row.first + row.sectors > last:
            reason = (
                f"partition {row.number} ends at sector {row.first + row.sectors - 1} of {last}"
            )
            scope.add("M202", reason, row.first * sector_size)
    end, number = 0, 0
    for row in rows:
        if row.first < end:
            reason = f"partitions {number} and {row.number}"
            scope.add("M201", reason, row.first * sector_size)
        if row.first + row.sectors > end:
            end, number = row.first + row.sectors, row.number
    if mbr.fault:
        scope.add("M203", mbr.fault)
