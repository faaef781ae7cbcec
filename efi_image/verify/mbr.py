"""The MBR: protective before a GPT, or the disk's only table.

Source: UEFI Specification 2.10, 5.2 (LBA 0 format).
"""

from __future__ import annotations

from efi_image.formats.gpt.table import MBR_SIGNATURE, MBR_SIZE, MBR_TABLE, protective_mbr
from efi_image.formats.mbr.reader import PROTECTIVE, Mbr, records
from efi_image.verify.context import CheckContext

RECORD_SIZE = 16
TYPE_AT, FIRST_AT, SIZE_AT = 4, 8, 12
MAX_SECTORS = 0xFFFFFFFF


def check_protective(context: CheckContext, mbr: Mbr | None, sectors: int) -> None:
    """Check the MBR before the GPT of a disk with that number of sectors."""
    rows = records(context.medium.peek(0, MBR_SIZE)) if mbr else []
    primary = [row for row in rows if row.type]
    guard = next((row for row in primary if row.type == PROTECTIVE), None)
    if guard is None:
        _missing(context, has_others=bool(primary), sectors=sectors)
        return
    _check_unused(context)
    place = MBR_TABLE + (guard.number - 1) * RECORD_SIZE
    if guard.first != 1:
        fix = context.write(
            "set the start of the protective partition to 1", place + FIRST_AT, "I", 1
        )
        context.add("M102", f"it starts at sector {guard.first}", place, fix=fix)
    if guard.active:
        fix = context.write("cleared the active mark of the protective partition", place, "B", 0)
        context.add("M105", "its status is 0x80", place, fix=fix)
    wanted = min(sectors - 1, MAX_SECTORS)
    if len(primary) > 1:
        others = ", ".join(str(row.number) for row in primary if row is not guard)
        context.add("M104", f"records {others}", MBR_TABLE)
    elif guard.sectors != wanted:
        text = f"set the size of the protective partition to {wanted} sectors"
        fix = context.write(text, place + SIZE_AT, "I", wanted)
        cut_off = context.has("G117")  # which must be repaired first
        reason = f"it has {guard.sectors} sectors instead of {wanted}"
        context.add("M103", reason, place, fix=None if cut_off else fix)


def _check_unused(context: CheckContext) -> None:
    """Check that unused records are all zeros."""
    for number in range(4):
        place = MBR_TABLE + number * RECORD_SIZE
        row = context.medium.read(place, RECORD_SIZE)
        if not row[TYPE_AT] and any(row):
            fix = context.fix(
                f"cleared record {number + 1} of the MBR", context.patch(place, bytes(16))
            )
            context.add("M106", f"record {number + 1}", place, fix=fix)


def _missing(context: CheckContext, *, has_others: bool, sectors: int) -> None:
    rows = protective_mbr(sectors)[MBR_TABLE:MBR_SIZE]
    is_empty = not any(context.medium.peek(MBR_TABLE, MBR_SIZE - MBR_TABLE - len(MBR_SIGNATURE)))
    fix = None
    if is_empty or not has_others:
        fix = context.fix("wrote a protective MBR", context.patch(MBR_TABLE, rows))
    context.add("M101", "it has no partition of type 0xEE", MBR_TABLE, fix=fix)


def check_table(context: CheckContext, mbr: Mbr, sector_size: int) -> None:
    """Check the MBR of a disk that has no other table."""
    last = context.medium.size // sector_size
    rows = sorted(mbr.partitions, key=lambda row: row.first)
    for row in rows:
        if row.first + row.sectors > last:
            reason = (
                f"partition {row.number} ends at sector {row.first + row.sectors - 1} of {last}"
            )
            context.add("M202", reason, row.first * sector_size)
    end, number = 0, 0
    for row in rows:
        if row.first < end:
            reason = f"partitions {number} and {row.number}"
            context.add("M201", reason, row.first * sector_size)
        if row.first + row.sectors > end:
            end, number = row.first + row.sectors, row.number
    if mbr.fault:
        context.add("M203", mbr.fault)
