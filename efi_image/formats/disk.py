"""An image as a disk: its partition table, its partitions, and their volumes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from efi_image.errors import InputError, UsageError, ZppError
from efi_image.formats.detect import open_medium
from efi_image.formats.fat.bpb import BootSector, looks_like_fat
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.file_kind import FileKind, image_hint, kind_of
from efi_image.formats.files import FileSystem
from efi_image.formats.gpt.reader import read_gpt
from efi_image.formats.gpt.structures import Gpt, PartitionEntry
from efi_image.formats.gpt.types import ESP
from efi_image.formats.iso9660.reader import IsoVolume, looks_like_iso
from efi_image.formats.magic import BOOT_SECTORS, ZEROS, content_of, describe
from efi_image.formats.mbr import ESP as MBR_ESP
from efi_image.formats.mbr import Mbr, PartitionRecord, read_mbr
from efi_image.io.medium import Medium

ISO_NAME = "iso"


class Scheme(Enum):
    """How an image is divided."""

    GPT = "GPT"
    MBR = "MBR"
    WHOLE = "one volume"  # no partition table: FAT ("superfloppy") or ISO 9660
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Partition:
    """A partition; `start` and `size` in bytes are as the table says, right or wrong.

    `entry` is the table's own record; None for a volume without a table.
    """

    name: str
    start: int
    size: int
    type_name: str
    label: str
    guid: str
    is_esp: bool
    entry: PartitionEntry | PartitionRecord | None


@dataclass(frozen=True)
class Disk:
    """An image with its partition table and partitions; `sector_size` is in bytes.

    A hybrid ISO is both: its partitions come first, then the volume `iso`. `leftover` is a GPT
    that firmware ignores, because the MBR has partitions and none that protects a GPT.
    """

    medium: Medium
    scheme: Scheme
    sector_size: int
    partitions: tuple[Partition, ...]
    gpt: Gpt | None
    mbr: Mbr | None
    is_iso: bool
    leftover: Gpt | None = None

    def medium_of(self, partition: Partition) -> Medium:
        """A partition's bytes; raises InputError if they are not all within the image."""
        name = f"{self.medium.name}:{partition.name}" if partition.entry else self.medium.name
        return self.medium.view(partition.start, partition.size, name)

    def volume(self, partition: Partition) -> FileSystem:
        """A partition's file system; raises InputError if it is neither FAT nor ISO 9660."""
        medium = self.medium_of(partition)
        if partition.name == ISO_NAME or looks_like_iso(medium):
            return IsoVolume(medium)
        if not looks_like_fat(medium.peek(0, 512)) and content_of(medium):
            raise InputError(f"{describe(medium)}, not FAT or ISO 9660", where=medium.name)
        return FatVolume(medium)

    def has_volume(self, partition: Partition) -> bool:
        """Whether a partition looks like a FAT or ISO 9660 volume."""
        try:
            medium = self.medium_of(partition)
            return looks_like_fat(medium.peek(0, 512)) or looks_like_iso(medium)
        except InputError:
            return False

    def pick(self, name: str = "") -> Partition:
        """The partition of that name (a number, `esp` or `iso`), or the one to look at.

        That is the first ESP that can be read, else, without an ESP, the first that can be read.
        Raises InputError.
        """
        if name:
            for partition in self.partitions:
                if name.lower() in (partition.name, "esp" if partition.is_esp else None):
                    return partition
            raise InputError(
                f"has no partition '{name}'", where=self.medium.name, hint=self._known()
            )
        readable = [p for p in self.partitions if self.has_volume(p)]
        esps = [p for p in self.partitions if p.is_esp]
        if readable and esps and not (self.is_iso or any(p in readable for p in esps)):
            found = ", ".join(f"{self.medium.name}:{p.name}" for p in readable)
            raise InputError(
                f"its EFI system partition cannot be read: {self.contents()}",
                where=self.medium.name,
                hint=f"name another one: {found}",
            )
        if not readable:
            raise InputError(f"has no FAT or ISO 9660 volume: {self.contents()}",
                             where=self.medium.name)  # fmt: skip
        return next((p for p in readable if p.is_esp), readable[0])

    def require_known(self, otherwise: str = "") -> None:
        """Raise InputError unless it is a disk, or a volume that has a name.

        `otherwise` is a hint that follows those for what was given by mistake.
        """
        if self.scheme is not Scheme.UNKNOWN or content_of(self.medium) not in {"", ZEROS}:
            return
        kind = kind_of(self.medium.peek)
        if kind:
            raise _other_file(kind, self.medium, otherwise)
        raise InputError("is not a disk image or volume", where=self.medium.name, hint=otherwise)

    def contents(self) -> str:
        """What its partitions contain, or the whole disk if it has none."""
        if not self.partitions:
            return f"it {describe(self.medium)}"
        found = []
        for partition in self.partitions:
            try:
                name = f"partition {partition.name}" if partition.entry else "it"
                found.append(f"{name} {describe(self.medium_of(partition))}")
            except InputError:
                found.append(f"partition {partition.name} is not within the image")
        return ", ".join(found)

    def _known(self) -> str:
        names = ", ".join(partition.name for partition in self.partitions)
        return f"it has {names}" if names else ""


def _of_gpt(table: Gpt) -> Iterator[Partition]:
    size = table.sector_size
    for entry in table.best.entries:
        yield Partition(
            name=str(entry.number),
            start=entry.first_lba * size,
            size=max(0, entry.sectors) * size,
            type_name=entry.type_name,
            label=entry.name,
            guid=str(entry.guid).upper(),
            is_esp=entry.type_guid == ESP.guid,
            entry=entry,
        )


def _of_mbr(table: Mbr, sector_size: int) -> Iterator[Partition]:
    for row in table.partitions:
        yield Partition(
            name=str(row.number),
            start=row.first_lba * sector_size,
            size=row.sectors * sector_size,
            type_name=row.type_name,
            label="",
            guid=f"{table.disk_signature:08X}-{row.number:02X}",
            is_esp=row.os_type == MBR_ESP,
            entry=row,
        )


def _mbr_sector_size(medium: Medium, table: Mbr) -> int:
    """512, unless a FAT volume stands where only a disk with 4096-byte sectors has it."""
    for row in table.partitions:
        if looks_like_fat(medium.peek(row.first_lba * 512, 512)):
            return 512
    for row in table.partitions:
        sector = medium.peek(row.first_lba * 4096, 512)
        if looks_like_fat(sector) and BootSector.unpack(sector).sector_size == 4096:
            return 4096
    return 512


def _mbr_of(medium: Medium) -> Mbr | None:
    if content_of(medium) in BOOT_SECTORS or kind_of(medium.peek) is FileKind.KERNEL:
        return None
    try:
        return read_mbr(medium)
    except InputError:
        return None


def _whole(medium: Medium, name: str, type_name: str) -> Partition:
    return Partition(name, 0, medium.size, type_name, "", "", False, None)


def read_disk(medium: Medium) -> Disk:
    """What a medium is; raises InputError only if it cannot be read."""
    is_iso = looks_like_iso(medium)
    extra = (_whole(medium, ISO_NAME, "ISO 9660"),) if is_iso else ()
    is_fat = looks_like_fat(medium.peek(0, 512))
    table = None if is_fat else read_gpt(medium)
    record = _mbr_of(medium)
    if table and not (record and record.overrides_gpt(medium.size)):
        rows = (*_of_gpt(table), *extra)
        return Disk(medium, Scheme.GPT, table.sector_size, rows, table, record, is_iso)
    if is_fat:
        sector_size = BootSector.unpack(medium.peek(0, 512)).sector_size
        rows = (_whole(medium, "fat", "FAT"), *extra)
        return Disk(medium, Scheme.WHOLE, sector_size, rows, None, None, is_iso)
    if record and record.primary:
        sector_size = _mbr_sector_size(medium, record)
        if sector_size != 512:
            record = read_mbr(medium, sector_size)
        rows = (*_of_mbr(record, sector_size), *extra)
        return Disk(medium, Scheme.MBR, sector_size, rows, None, record, is_iso, table)
    scheme = Scheme.WHOLE if is_iso else Scheme.UNKNOWN
    return Disk(medium, scheme, 2048 if is_iso else 512, extra, None, record, is_iso)


def _other_file(kind: FileKind, medium: Medium, otherwise: str = "") -> InputError:
    hints = [hint for hint in (image_hint(kind, medium.name), otherwise) if hint]
    what = f"is {kind.value}, not a disk image"
    return InputError(what, where=medium.name, hint="; or ".join(hints))


def refuse_other_file(medium: Medium, otherwise: str = "") -> None:
    """Raise InputError for a kernel, an archive and the like; an unknown disk may still boot."""
    kind = kind_of(medium.peek)
    if kind and read_disk(medium).scheme is Scheme.UNKNOWN:
        raise _other_file(kind, medium, otherwise)


def parse_place(text: str) -> tuple[str, str]:
    """`IMAGE` or `IMAGE:PARTITION`, as the file's name and the partition's (or '')."""
    head, colon, tail = text.rpartition(":")
    if not colon or not head or "/" in tail or os.path.lexists(text):
        return text, ""
    return head, tail


def split_location(text: str) -> tuple[str, str | None]:
    """`IMAGE:/PATH` or `IMAGE:PARTITION:/PATH`, as the place and the path.

    The path is None for what has none, or is a file of this machine. `IMAGE:` is its root.
    """
    if os.path.lexists(text):
        return text, None
    if len(text) > 1 and text.endswith(":"):
        return text[:-1], ""
    at = max(text.rfind(":/"), text.rfind(":\\"))
    return (text[:at], text[at + 1 :]) if at > 0 else (text, None)


@dataclass(frozen=True, slots=True)
class Location:
    """An image, the name of a partition of it ('': the one to look at), and paths there."""

    image: str
    partition: str
    paths: tuple[str, ...]

    @property
    def only_path(self) -> str:
        """The path, '' without one; raises UsageError if there is more than one."""
        if len(self.paths) > 1:
            raise UsageError("names two paths", where=self.image)
        return self.paths[0] if self.paths else ""


def locate(image: str, paths: Iterable[str] = ()) -> Location:
    """`IMAGE PATH…`, `IMAGE:/PATH…`, both also with `:PARTITION` behind IMAGE.

    Raises UsageError if the paths are on different images.
    """
    place, path = split_location(image)
    found = [] if path is None else [path]
    for each in paths:
        other, within = split_location(each)
        if within is not None and other != place:
            raise UsageError(f"is not on {place}", where=each, hint="name one image at a time")
        found.append(each if within is None else within)
    return Location(*parse_place(place), tuple(found))


@contextmanager
def paths_of(image: str) -> Iterator[None]:
    """Names the image in an error that is about a path on it."""
    try:
        yield
    except ZppError as error:
        if error.where.startswith("\\"):
            error.where = f"{image}:{error.where}"
        raise


@contextmanager
def open_disk(path: str | Path) -> Iterator[Disk]:
    """An image file or device of any known format; raises InputError or MissingError."""
    with open_medium(path) as medium:
        disk = read_disk(medium)
        with paths_of(str(path)):
            yield disk
