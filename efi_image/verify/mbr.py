"""The MBR: protective before a GPT, or the disk's only table.

Source: UEFI Specification 2.10, 5.2 (LBA 0 format).
"""

from __future__ import annotations

from efi_image.formats.gpt.structures import SIGNATURE as GPT_SIGNATURE
from efi_image.formats.gpt.structures import Gpt
from efi_image.formats.mbr import (
    ACTIVE,
    MAX_PRIMARY,
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
from efi_image.verify.context import CheckContext

TYPE_AT, FIRST_AT, SIZE_AT = 4, 8, 12  # in a record


def check_protective(context: CheckContext, mbr: Mbr | None, sectors: int) -> None:
    """Check the MBR before the GPT of a disk with that number of sectors."""
    rows = unpack_records(context.medium.peek(0, SIZE)) if mbr else []
    primary = [row for row in rows if row.os_type]
    guard = next((row for row in primary if row.os_type == PROTECTIVE), None)
    if guard is None:
        _missing(context, has_others=bool(primary), sectors=sectors)
        return
    _check_unused(context)
    offset = TABLE_OFFSET + (guard.number - 1) * RECORD_SIZE
    if guard.first_lba != 1:
        text = "set the start of the protective partition to 1"
        fix = context.write(text, offset + FIRST_AT, "I", 1)
        context.add("M102", f"it starts at sector {guard.first_lba}", offset, fix=fix)
    for row in rows:
        if row.active and row.os_type in (0, PROTECTIVE):
            at = TABLE_OFFSET + (row.number - 1) * RECORD_SIZE
            context.add("M105", f"record {row.number} has the status 0x80", at)
    wanted = min(sectors - 1, MAX_SECTORS)
    if len(primary) > 1:
        others = ", ".join(str(row.number) for row in primary if row is not guard)
        context.add("M104", f"records {others}", TABLE_OFFSET)
    elif guard.sectors != wanted:
        text = f"set the size of the protective partition to {wanted} sectors"
        fix = context.write(text, offset + SIZE_AT, "I", wanted)
        cut_off = context.has("G117")  # which must be repaired first
        reason = f"it has {guard.sectors} sectors instead of {wanted}"
        context.add("M103", reason, offset, fix=None if cut_off else fix)


def _check_unused(context: CheckContext) -> None:
    """Check that unused records are all zeros."""
    for number in range(MAX_PRIMARY):
        offset = TABLE_OFFSET + number * RECORD_SIZE
        row = context.medium.read(offset, RECORD_SIZE)
        if not row[TYPE_AT] and any(row) and row[0] != ACTIVE:  # for a BIOS that wants one active
            zeros = context.patch(offset, bytes(RECORD_SIZE))
            fix = context.fix(f"cleared record {number + 1} of the MBR", zeros)
            context.add("M106", f"record {number + 1}", offset, fix=fix)


def _missing(context: CheckContext, *, has_others: bool, sectors: int) -> None:
    rows = protective_mbr(sectors)[TABLE_OFFSET:SIZE]
    is_empty = not any(context.medium.peek(TABLE_OFFSET, SIZE - TABLE_OFFSET - len(SIGNATURE)))
    fix = None
    if is_empty or not has_others:
        fix = context.fix("wrote a protective MBR", context.patch(TABLE_OFFSET, rows))
    context.add("M101", "there is no partition of type 0xEE", TABLE_OFFSET, fix=fix)


def check_table(context: CheckContext, mbr: Mbr, sector_size: int) -> None:
    """Check the MBR of a disk that has no other table."""
    sectors = context.medium.size // sector_size
    end, number = 0, 0
    for row in sorted(mbr.partitions, key=lambda row: row.first_lba):
        offset, row_end = row.first_lba * sector_size, row.first_lba + row.sectors
        if row_end > sectors:
            reason = f"partition {row.number} ends at sector {row_end - 1} of {sectors}"
            context.add("M202", reason, offset)
        if row.first_lba < end:
            context.add("M201", f"partitions {number} and {row.number}", offset)
        if row_end > end:
            end, number = row_end, row.number
    if mbr.fault:
        context.add("M203", mbr.fault)


def check_leftover(context: CheckContext, table: Gpt) -> None:
    """Report a GPT that the MBR overrides."""
    copies = [copy for copy in (table.primary, table.backup) if copy]
    places = [copy.lba * table.sector_size for copy in copies]
    erased = (context.patch(place, bytes(len(GPT_SIGNATURE))) for place in places)
    fix = context.fix("erased the headers of the leftover GPT", *erased)
    sectors = " and ".join(str(copy.lba) for copy in copies)
    context.add("M205", f"headers in sector {sectors}", places[0], fix=fix)
