"""Moves a GPT's backup to the end of a target: UEFI specification 2.10, 5.3.2."""

from __future__ import annotations

from dataclasses import dataclass, replace

from efi_image.errors import DoesNotFitError
from efi_image.formats import mbr
from efi_image.formats.gpt.structures import GptCopy, header_pair, sectors_of


@dataclass(frozen=True, slots=True)
class Fitted:
    """What changes: the first bytes of the target, and its last sectors from byte `start` on."""

    head: bytes
    start: int
    tail: bytes


def fit(table: GptCopy, head: bytes, size: int, sector_size: int, where: str) -> Fitted:
    """The primary table of an image with these first bytes, on a target of `size` bytes.

    Raises DoesNotFitError if the target has no room for the backup.
    """
    in_array = sectors_of(len(table.array), sector_size)
    last_lba = size // sector_size - 1
    last_usable = last_lba - in_array - 1
    ends = (max(entry.first_lba, entry.last_lba) for entry in table.entries)
    if max(ends, default=0) > last_usable:
        raise DoesNotFitError("has no room behind the image's partitions for a GPT", where=where)
    header = replace(table.header, last_usable_lba=last_usable)
    primary, backup = header_pair(header, last_lba, sector_size, table.array)
    new = bytearray(head)
    for offset, data in (
        (sector_size, primary.pack().ljust(sector_size, b"\0")),
        (0, _mbr(head, last_lba)),
    ):
        new[offset : offset + len(data)] = data
    padded = table.array.ljust(in_array * sector_size, b"\0")
    tail = padded + backup.pack().ljust(sector_size, b"\0")
    return Fitted(bytes(new), backup.entries_lba * sector_size, tail)


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
