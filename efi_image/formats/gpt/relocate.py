"""Adapts an image's partition table to a target: its size, and its sector size.

The backup of a GPT belongs in the target's last sectors, and its LBAs count the target's
own sectors: UEFI specification 2.10, 5.3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from efi_image.errors import DoesNotFitError, InputError, UsageError
from efi_image.formats import mbr
from efi_image.formats.gpt.structures import (
    ENTRY_SIZE,
    SECTOR_SIZES,
    GptCopy,
    header_pair,
    sectors_of,
)

MAX_ARRAY = 1 << 15  # bytes of an entry array that is adapted


@dataclass(frozen=True, slots=True)
class Fitted:
    """What changes: the first bytes of the target, and its last sectors from byte `start` on."""

    head: bytes
    start: int
    tail: bytes


def _read(head: bytes) -> tuple[GptCopy, int] | None:
    """The image's GPT with its sector size, if it can be read from the first bytes and is valid."""

    def read(offset: int, count: int) -> bytes:
        data = head[offset : offset + count]
        if len(data) < count:
            raise InputError("ends before its partition table does")
        return data

    for size in SECTOR_SIZES:
        found = GptCopy.unpack(head[size : 2 * size], 1, size, read, MAX_ARRAY)
        if found and found.usable:
            return found, size
    return None


def check(head: bytes, sector_size: int, where: str) -> None:
    """Raise UsageError if an image with these first bytes cannot work on such a target."""
    if sector_size == 512 or head[mbr.SIZE - 2 : mbr.SIZE] != mbr.SIGNATURE or _read(head):
        return
    if _is_fat(head):
        own = int.from_bytes(head[11:13], "little")
        if own != sector_size:
            raise _other_sectors(where, f"is a FAT volume of {own}-byte sectors", sector_size)
        return
    is_used = any(head[mbr.TABLE_OFFSET : mbr.SIZE - len(mbr.SIGNATURE)])
    if is_used and mbr.unpack_records(head)[0].os_type != mbr.PROTECTIVE:
        raise _other_sectors(where, "has an MBR that counts 512-byte sectors", sector_size)


def _is_fat(head: bytes) -> bool:
    return head[54:57] == b"FAT" or head[82:87] == b"FAT32"


def _other_sectors(where: str, what: str, sector_size: int) -> UsageError:
    return UsageError(
        f"{what}, but the device's have {sector_size} bytes",
        where=where,
        hint=f"make it with --sector-size {sector_size}",
    )


def notes(head: bytes, sector_size: int) -> tuple[str, ...]:
    """What the user should know about an image with these first bytes on such a target."""
    found = _read(head)
    if found is None or found[1] == sector_size:
        return ()
    return (
        f"the partition table counts sectors of {sector_size} bytes now, but file systems made for "
        f"sectors of {found[1]} are as they were: some firmware reads them, Linux does not; "
        f"make the image with --sector-size {sector_size}",
    )


def fit(head: bytes, size: int, sector_size: int, where: str) -> Fitted | None:
    """The table of an image with these first bytes on a target of `size` bytes.

    None if there is no GPT. Raises DoesNotFitError if the target has no room for the table, and
    UsageError if a partition cannot be told in the target's sectors.
    """
    found = _read(head)
    if found is None:
        return None
    table, old_size = found
    header = table.header
    in_array = sectors_of(len(table.array), sector_size)
    last_lba = size // sector_size - 1
    last_usable = last_lba - in_array - 1
    end = max((entry.last_lba + 1 for entry in table.entries), default=0) * old_size
    if end > (last_usable + 1) * sector_size:
        raise DoesNotFitError("has no room behind the image's partitions for a GPT", where=where)
    new = bytearray(head)
    array = table.array
    if old_size != sector_size:
        array = _converted(table, old_size, sector_size, where)
        header = replace(header, first_usable_lba=2 + in_array, entries_lba=2)
        first = slice(mbr.SIZE, 2 * old_size + len(array))
        new[first] = bytes(first.stop - first.start)
    header = replace(header, last_usable_lba=last_usable)
    primary, backup = header_pair(header, last_lba, sector_size, array)
    padded = array.ljust(in_array * sector_size, b"\0")
    for offset, data in (
        (sector_size, primary.pack().ljust(sector_size, b"\0")),
        (primary.entries_lba * sector_size, array if old_size == sector_size else padded),
        (0, _mbr(head, last_lba)),
    ):
        new[offset : offset + len(data)] = data
    tail = padded + backup.pack().ljust(sector_size, b"\0")
    return Fitted(bytes(new), backup.entries_lba * sector_size, tail)


def _converted(table: GptCopy, old_size: int, new_size: int, where: str) -> bytes:
    """The entry array, with LBAs of sectors of the new size."""
    array = bytearray(table.array)
    for entry in table.entries:
        begin, end = entry.first_lba * old_size, (entry.last_lba + 1) * old_size
        inside = 2 * new_size + len(array) <= begin < end
        if not inside or begin % new_size or end % new_size:
            raise _other_sectors(where, f"has a partition at byte {begin} that does not", new_size)
        moved = replace(entry, first_lba=begin // new_size, last_lba=end // new_size - 1)
        offset = (entry.number - 1) * table.header.entry_size
        array[offset : offset + ENTRY_SIZE] = moved.pack()
    return bytes(array)


def _mbr(head: bytes, last_lba: int) -> bytes:
    """The MBR, its protective partition over the whole target; a hybrid MBR as it is."""
    raw = head[: mbr.SIZE]
    if not raw.endswith(mbr.SIGNATURE):
        return raw
    used = [record for record in mbr.unpack_records(raw) if record.os_type]
    if len(used) == 1 and used[0].os_type == mbr.PROTECTIVE:
        record = replace(used[0], sectors=min(last_lba, mbr.MAX_SECTORS))
        offset = mbr.TABLE_OFFSET + (record.number - 1) * mbr.RECORD_SIZE
        return raw[:offset] + record.pack() + raw[offset + mbr.RECORD_SIZE :]
    return raw
