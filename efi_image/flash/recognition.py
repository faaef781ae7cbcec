"""Recognizes an image before it is written: only a known and complete disk or volume is.

After the write the target must show the same disk as the image.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from efi_image.errors import InputError, UsageError, VerificationFailed
from efi_image.flash.source import ImageSource
from efi_image.formats.disk import Disk, Partition, Scheme, read_disk, refuse_other_file
from efi_image.formats.fat.bpb import BootSector, looks_like_fat
from efi_image.formats.gpt.structures import GptCopy
from efi_image.formats.iso9660.reader import IsoVolume, looks_like_iso
from efi_image.formats.iso9660.structures import SECTOR
from efi_image.formats.magic import content_of
from efi_image.io.medium import Medium, open_raw

FIRST = 1 << 17  # bytes of an image that tell what it is
RAW_BYTES = "write it as it is with --raw-bytes, if you mean this file"


@dataclass(frozen=True, slots=True)
class Recognized:
    """A disk or volume; its partitions and volumes end at byte `end`.

    `table` is a primary GPT. `partitions` are the places (start and size) of all partitions.
    """

    format: str
    end: int
    partitions: tuple[tuple[int, int], ...] = ()
    table: GptCopy | None = None

    def require(self, size: int, where: str) -> None:
        """Raise InputError if an image of `size` bytes does not have all of it."""
        if size < self.end:
            raise InputError(
                f"is incomplete: its {self.format} needs {self.end} bytes, but it has {size}",
                where=where,
                hint=f"get the whole image, or {RAW_BYTES}",
            )


def recognize(source: ImageSource, size: int, sector_size: int) -> Recognized:
    """What an image is that goes to a target of `size` bytes.

    Raises InputError if it is unknown, incomplete, or has a damaged table, and UsageError if it
    was made for sectors of another size.
    """
    with _medium_of(source, size) as medium:
        disk = read_disk(medium)
        _refuse_unknown(disk)
        if source.medium is None:
            found = _describe(disk, look=False)
        else:
            found = _describe(disk, look=True)
            found.require(medium.size, source.name)
    _refuse_other_sectors(disk, sector_size)
    return found


def refuse_other_files(source: ImageSource) -> None:
    """Raise InputError for a kernel, an archive and the like, before the target is opened."""
    with _medium_of(source, source.size or FIRST) as medium:
        refuse_other_file(medium, RAW_BYTES)


@contextmanager
def _medium_of(source: ImageSource, size: int) -> Iterator[Medium]:
    """The image, or its first bytes and zeros up to that size."""
    if source.medium:
        yield source.medium
        return
    with tempfile.TemporaryFile(prefix="zpp-image-") as file:
        file.write(source.part(0, FIRST) or b"")
        file.flush()
        file.truncate(size)
        yield Medium(file.fileno(), source.name, 0, size)


def _refuse_unknown(disk: Disk) -> None:
    """Raise InputError unless it is a known disk or volume, whose table can be read."""
    name = disk.medium.name
    if disk.scheme is Scheme.GPT and disk.gpt:
        primary = disk.gpt.primary
        if primary is None or not primary.usable:
            what = "no primary GPT" if primary is None else "a GPT that cannot be read"
            raise InputError(
                f"has {what}{': ' + primary.fault if primary and primary.fault else ''}",
                where=name,
                hint=f"`zpp-image verify` explains it; or {RAW_BYTES}",
            )
    elif disk.scheme is Scheme.UNKNOWN:
        if disk.mbr and disk.mbr.is_protective:
            raise InputError("has a protective MBR but no GPT", where=name, hint=RAW_BYTES)
        disk.require_known(RAW_BYTES)


def _refuse_other_sectors(disk: Disk, sector_size: int) -> None:
    """Raise UsageError if its table or volume counts sectors of another size."""
    is_disc = disk.scheme is Scheme.WHOLE and disk.is_iso
    if disk.scheme is Scheme.UNKNOWN or is_disc or disk.sector_size == sector_size:
        return
    raise UsageError(
        f"is for disks with sectors of {disk.sector_size} bytes, but the target's have"
        f" {sector_size}",
        where=disk.medium.name,
        hint=f"make it with `zpp-image make --sector-size {sector_size}`",
    )


def _describe(disk: Disk, *, look: bool) -> Recognized:
    """With a look at the volumes in partitions, or by the table alone."""
    places = tuple((p.start, p.size) for p in disk.partitions if p.entry)
    ends = [start + size for start, size in places]
    ends += [_volume_end(disk, p) for p in disk.partitions if look or not p.entry]
    name = disk.scheme.value
    if disk.scheme is Scheme.WHOLE:
        name = "ISO 9660 volume" if disk.is_iso else "FAT volume"
    elif disk.scheme is Scheme.UNKNOWN:
        name = content_of(disk.medium)
    table = disk.gpt.primary if disk.gpt else None
    return Recognized(name, max(ends, default=0), places, table)


def _volume_end(disk: Disk, partition: Partition) -> int:
    """Where the volume in a partition ends, by its own size; 0 if that is not known."""
    medium = disk.medium
    if partition.start >= medium.size:
        return 0
    whole = medium.view(partition.start, medium.size - partition.start)
    try:
        if looks_like_iso(whole):
            return partition.start + IsoVolume(whole).blocks * SECTOR
    except InputError:
        return 0
    sector = whole.peek(0, 512)
    if not looks_like_fat(sector):
        return 0
    boot = BootSector.unpack(sector)
    return partition.start + boot.sectors * boot.sector_size


def check_target(wanted: Recognized, path: str, size: int) -> None:
    """Raise VerificationFailed if the target does not show what was written.

    `size` is the image's.
    """
    with open_raw(path) as medium:
        disk = read_disk(medium)
        found = _describe(disk, look=True)
    complete = found.end <= size
    whole = disk.gpt is None or (disk.gpt.backup is not None and disk.gpt.backup.usable)
    if found.format == wanted.format and found.partitions == wanted.partitions and whole:
        if complete:
            return
        raise VerificationFailed(
            f"the image is incomplete: its volumes end at byte {found.end} of {size}", where=path
        )
    raise VerificationFailed(
        f"does not show the image's partitions: {found.format} instead of {wanted.format}",
        where=path,
        hint="something else writes to it",
    )
