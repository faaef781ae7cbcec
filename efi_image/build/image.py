"""An image file: a FAT volume, alone or as the first partition of a disk.

The same files, options and SOURCE_DATE_EPOCH give the same bytes: what is usually random
(serial number, GUIDs) is derived from the files, and all files have one time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from efi_image.build.identity import content_digest, derived_guid
from efi_image.build.output import Form, Target, write_image
from efi_image.build.partitions import (
    ISO_BLOCK,
    ISO_SECTOR,
    Entry,
    ExtraPartition,
    Geometry,
    Table,
    gpt_of,
    mbr_of,
)
from efi_image.errors import DoesNotFitError, UsageError
from efi_image.formats.fat import Demand, FatType, Identity, Layout, Tree, Volume, plan
from efi_image.formats.fat.geometry import MAX_SECTORS, MIB, SECTOR_SIZES, candidates, smallest
from efi_image.formats.gpt.types import ESP
from efi_image.formats.gpt.writer import pack_backup, pack_primary
from efi_image.formats.iso9660 import writer as iso
from efi_image.io.sink import Sink
from efi_image.io.source import Source
from efi_image.progress import Progress, counter

DEFAULT_SIZE = 64 * MIB  # FAT32 with sectors of 512 bytes, and room for a kernel
SPARE = 16  # an image that grows gets one SPARE-th more than it needs
LABEL = "ZPP"
PARTITION_NAME = "EFI system partition"


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the image: its path (checked names) and where its bytes come from."""

    path: tuple[str, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What kind of image is made.

    No size: as large as needed, at least DEFAULT_SIZE; `minimal`: as small as can be. What
    is None of the rest is chosen, or derived from the files. `digest` asks for the SHA-256
    of the image and of each file.
    """

    size: int | None = None
    minimal: bool = False
    table: Table = Table.GPT
    fat: FatType | None = None
    sector_size: int = 512
    alignment: int = MIB
    label: str = LABEL
    volume_serial: int | None = None
    disk_guid: UUID | None = None
    disk_signature: int | None = None
    partition_guid: UUID | None = None
    partitions: tuple[ExtraPartition, ...] = ()
    seconds: int = 0
    digest: bool = False

    @property
    def geometry(self) -> Geometry:
        """The shape of the disk."""
        extras = tuple(each.source.size for each in self.partitions)
        return Geometry(self.table, self.sector_size, self.alignment, extras, self.minimal)


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file that is on an image; sha256 is empty if it was not asked for."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """A partition of an image: offset and size in bytes."""

    type: str
    name: str
    guid: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """An image that was made: its raw size and SHA-256; what was not asked for is empty."""

    output: str
    format: str
    bmap: str
    size: int
    sector_size: int
    table: str
    fat: str
    cluster_size: int
    free: int
    label: str
    serial: str
    sha256: str
    partitions: tuple[PartitionReport, ...]
    files: tuple[FileReport, ...]


def source_date(environ: Mapping[str, str]) -> int:
    """SOURCE_DATE_EPOCH, or 0, which FAT shows as its first day."""
    text = environ.get("SOURCE_DATE_EPOCH", "0")
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise UsageError(
            f"must be a number of seconds, not '{text}'",
            where="SOURCE_DATE_EPOCH",
        )
    return int(text)


# ---- sizes


def _fits(demand: Demand, size: int, options: ImageOptions) -> bool:
    sectors = options.geometry.volume_sectors(size // options.sector_size)
    layouts = candidates(sectors, options.sector_size, options.fat)
    return any(demand.fits(layout) for layout in layouts)


def _round_up(size: int) -> int:
    return -(-size // MIB) * MIB


def _smallest(demand: Demand, options: ImageOptions) -> Layout:
    layout = smallest(options.sector_size, demand.wanted, options.fat)
    if layout is None:
        raise DoesNotFitError(f"there is more than a {_fat_name(options)} volume can hold")
    return layout


def _fat_name(options: ImageOptions) -> str:
    return options.fat.name if options.fat else "FAT"


def _enough(demand: Demand, options: ImageOptions) -> int:
    """A size, in whole MiB, that is enough and not much more."""
    fewest = options.geometry.disk_sectors(_smallest(demand, options).sectors)
    size = _round_up(fewest * options.sector_size)
    while not _fits(demand, size, options):
        size = _round_up(size + max(MIB, size // 256))
        if size // options.sector_size > 2 * MAX_SECTORS:
            raise DoesNotFitError(f"there is more than a {_fat_name(options)} volume can hold")
    return size


def _given_size(demand: Demand, size: int, options: ImageOptions) -> int:
    unit = options.geometry.unit
    if size % unit:
        raise UsageError(f"must be a multiple of {unit} bytes", where="--size")
    if options.geometry.volume_sectors(size // options.sector_size) > MAX_SECTORS:
        raise DoesNotFitError(f"{size} bytes are more than a FAT volume can have", where="--size")
    if not _fits(demand, size, options):
        enough = _enough(demand, options)
        what = "few" if size < enough else "many"
        kind = f" on {options.fat.name}" if options.fat else ""
        raise DoesNotFitError(
            f"{size} bytes are too {what} for these files{kind}",
            where="--size",
            hint=f"{enough // MIB}M is enough",
        )
    return size


def _size(demand: Demand, options: ImageOptions) -> int:
    """The image's size in bytes."""
    geometry = options.geometry
    if options.minimal:
        if options.size is not None:
            raise UsageError("a size is given or the smallest, not both", where="--size")
        return geometry.disk_sectors(_smallest(demand, options).sectors) * options.sector_size
    if options.size is not None:
        return _given_size(demand, options.size, options)
    size = _round_up(
        DEFAULT_SIZE + sum(-(-n // options.alignment) for n in geometry.extras) * options.alignment
    )
    if _fits(demand, size, options):
        return size
    enough = _enough(demand, options)
    return _round_up(enough + enough // SPARE)


# ---- planning


def _digest(demand: Demand, size: int, options: ImageOptions) -> bytes:
    """What all that is derived from the content is derived from."""
    kind = [
        size,
        options.sector_size,
        options.table.value,
        options.fat.value if options.fat else 0,
        options.alignment,
        options.label,
        options.seconds,
        *((str(each.type.guid), each.type.mbr, each.name) for each in options.partitions),
    ]
    files = zip(demand.paths, demand.files, strict=True)
    return content_digest(kind, files, [each.source for each in options.partitions])


def _entries(options: ImageOptions, volume: int, digest: bytes) -> tuple[Entry, ...]:
    """All partitions, the one of the FAT volume first."""

    def derived(what: str) -> UUID:
        return derived_guid(digest, what)

    first, *others = options.geometry.places(volume)
    esp = Entry(
        first, ESP, options.partition_guid or derived_guid(digest, "partition"), PARTITION_NAME
    )
    extras = [
        Entry(place, each.type, each.guid or derived_guid(digest, f"partition {number}"), each.name)
        for number, (place, each) in enumerate(zip(others, options.partitions, strict=True), 2)
    ]
    return esp, *extras


@dataclass(frozen=True, slots=True)
class Plan:
    """An image, planned to the last byte but for the files' own.

    `head` and `tail` are its table; `digest` is what derived identities come from.
    """

    size: int
    options: ImageOptions
    volume: Volume
    head: bytes
    tail: bytes
    entries: tuple[Entry, ...]
    digest: bytes

    @property
    def payload(self) -> int:
        """Bytes in all files and partitions."""
        extras = sum(each.source.size for each in self.options.partitions)
        return extras + sum(file.size for file in self.volume.demand.files)

    def files(self) -> tuple[FileReport, ...]:
        """The files, in their order on the volume; with digests when they are written."""
        demand = self.volume.demand
        return tuple(
            FileReport(path, file.size, file.sha256)
            for path, file in zip(demand.paths, demand.files, strict=True)
        )

    def write(self, sink: Sink) -> None:
        """Write the whole image."""
        sink.write(self.head)
        sink.skip_to(self._offset(self.entries[0]))
        self.volume.write(sink)
        for entry, extra in zip(self.entries[1:], self.options.partitions, strict=True):
            sink.skip_to(self._offset(entry))
            sink.copy(extra.source)
        sink.skip_to(self.size - len(self.tail))
        sink.write(self.tail)

    def _offset(self, entry: Entry) -> int:
        return entry.place.first_lba * self.options.sector_size

    def report(self, target: Target, digest: str) -> Report:
        """What was made."""
        layout = self.volume.layout
        identity = self.volume.identity
        serial = f"{identity.serial:08X}"
        return Report(
            output=os.fspath(target.path),
            format=target.form.value,
            bmap=os.fspath(target.bmap or ""),
            size=self.size,
            sector_size=self.options.sector_size,
            table=self.options.table.value,
            fat=layout.kind.name,
            cluster_size=layout.cluster_size,
            free=(layout.clusters - self.volume.used) * layout.cluster_size,
            label=identity.label,
            serial=f"{serial[:4]}-{serial[4:]}",
            sha256=digest,
            partitions=self._partition_reports(),
            files=self.files(),
        )

    def _partition_reports(self) -> tuple[PartitionReport, ...]:
        if self.options.table is Table.NONE:
            return ()
        with_guids = self.options.table.is_gpt
        return tuple(
            PartitionReport(
                entry.type.name,
                entry.name if with_guids else "",
                str(entry.guid) if with_guids else "",
                self._offset(entry),
                entry.place.sectors * self.options.sector_size,
            )
            for entry in self.entries
        )


def _tables(
    options: ImageOptions, size: int, entries: tuple[Entry, ...], digest: bytes
) -> tuple[bytes, bytes]:
    """What stands before and behind the partitions."""
    if options.table is Table.NONE:
        return b"", b""
    if options.table is Table.MBR:
        signature = options.disk_signature
        if signature is None:
            signature = int.from_bytes(digest[4:8], "little") or 1
        return mbr_of(signature, entries).pack(), b""
    disk = options.disk_guid or derived_guid(digest, "disk")
    table = gpt_of(options.geometry, size // options.sector_size, disk, entries)
    if options.table is Table.GPT:
        return pack_primary(table), pack_backup(table)

    place = entries[0].place
    start, volume = place.first_lba * ISO_SECTOR, place.sectors * ISO_SECTOR
    system = iso.Iso(size, start, volume, options.label, options.seconds)
    area = pack_primary(table).ljust(iso.FIRST_BLOCK * ISO_BLOCK, b"\0")
    return area + system.blocks(), pack_backup(table)


def plan_image(items: Iterable[Item], options: ImageOptions) -> Plan:
    """Plan an image; of the files it reads their ends at most."""
    if options.sector_size not in SECTOR_SIZES:
        raise UsageError(f"must be one of {SECTOR_SIZES}", where="sector size")
    geometry = options.geometry
    geometry.check()
    tree = Tree()
    for item in items:
        tree.add(item.path, item.source)
    demand = Demand(tree)
    size = _size(demand, options)
    digest = _digest(demand, size, options)
    serial = options.volume_serial
    if serial is None:
        serial = int.from_bytes(digest[:4], "little")
    volume = plan(
        demand,
        Identity(serial, options.label, options.seconds, geometry.first_lba),
        sectors=geometry.volume_sectors(size // options.sector_size),
        sector_size=options.sector_size,
        kind=options.fat,
        layout=_smallest(demand, options) if options.minimal else None,
    )
    entries = _entries(options, volume.layout.sectors, digest)
    head, tail = _tables(options, size, entries, digest)
    return Plan(size, options, volume, head, tail, entries, digest)


def build(
    items: Iterable[Item],
    options: ImageOptions,
    output: str | Path | Target,
    progress: Progress | None = None,
) -> Report:
    """Make an image file; `output` is replaced when all went well, else it is as it was.

    A path alone is a raw image's. `progress` is told how many bytes of the files are copied.
    """
    target = output if isinstance(output, Target) else Target(output, Form.RAW)
    target.check()
    planned = plan_image(items, options)

    def write(sink: Sink) -> None:
        sink.progress = counter(progress, planned.payload)
        planned.write(sink)

    digest = write_image(
        target, write, size=planned.size, digest=options.digest, seed=planned.digest
    )
    return planned.report(target, digest)
