"""An image file: a FAT volume, alone or as the ESP of a GUID partition table.

The same files, options and SOURCE_DATE_EPOCH give the same bytes: what is usually random
(serial number, GUIDs) is derived from the files, and all files have one time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from efi_image import gpt
from efi_image.atomic import atomic, check_output
from efi_image.errors import DoesNotFitError, UsageError
from efi_image.fat import Demand, Identity, Tree, Volume, plan, show_path
from efi_image.fat.layout import MAX_SECTORS, MIB, SECTOR_SIZES, candidates
from efi_image.identity import content_digest
from efi_image.progress import Progress, counter
from efi_image.sink import Sink
from efi_image.source import Source

DEFAULT_SIZE = 64 * MIB  # FAT32 with sectors of 512 bytes, and room for a kernel
SPARE = 16  # an image that grows gets one SPARE-th more than it needs
LABEL = "ZPP"
PARTITION_NAME = "EFI system partition"


@dataclass(frozen=True)
class Item:
    """A file of the image: its path (checked names) and where its bytes come from."""

    path: tuple[str, ...]
    source: Source


@dataclass(frozen=True)
class ImageOptions:
    """What kind of image is made; no size: as large as needed, at least DEFAULT_SIZE.

    `digest` asks for the SHA-256 of the image and of each file.
    """

    size: int | None = None
    partitioned: bool = True
    sector_size: int = 512
    seconds: int = 0
    digest: bool = False


@dataclass(frozen=True)
class FileReport:
    """A file that is on an image; sha256 is empty if it was not asked for."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Report:
    """An image that was made; sha256 is empty if it was not asked for."""

    output: str
    size: int
    sector_size: int
    partitioned: bool
    fat: str
    cluster_size: int
    free: int
    serial: str
    sha256: str
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


def _volume_sectors(size: int, options: ImageOptions) -> int:
    """The sectors that a FAT volume has in an image of that size; 0 if none."""
    sectors = size // options.sector_size
    if not options.partitioned:
        return sectors
    try:
        return gpt.partition_sectors(sectors, options.sector_size)
    except DoesNotFitError:
        return 0


def _fits(demand: Demand, size: int, options: ImageOptions) -> bool:
    sectors = _volume_sectors(size, options)
    return any(demand.fits(layout) for layout in candidates(sectors, options.sector_size))


def _round_up(size: int) -> int:
    return -(-size // MIB) * MIB


def _enough(demand: Demand, options: ImageOptions) -> int:
    """A size, in whole MiB, that is enough and not much more."""
    size = _round_up(sum(file.size for file in demand.files))
    while not _fits(demand, size, options):
        size = _round_up(size + max(MIB, size // 256))
        if size // options.sector_size > MAX_SECTORS:
            raise DoesNotFitError("there is more than a FAT volume can hold")
    return size


def _given_size(demand: Demand, size: int, options: ImageOptions) -> int:
    if size % options.sector_size:
        raise UsageError(f"must be a multiple of {options.sector_size} bytes", where="--size")
    if _volume_sectors(size, options) > MAX_SECTORS:
        raise DoesNotFitError(f"{size} bytes are more than a FAT volume can have", where="--size")
    if not _fits(demand, size, options):
        enough = _enough(demand, options) // MIB
        raise DoesNotFitError(
            f"{size} bytes are too few for these files", where="--size", hint=f"{enough}M is enough"
        )
    return size


def _size(demand: Demand, options: ImageOptions) -> int:
    if options.size is not None:
        return _given_size(demand, options.size, options)
    if _fits(demand, DEFAULT_SIZE, options):
        return DEFAULT_SIZE
    enough = _enough(demand, options)
    return _round_up(enough + enough // SPARE)


@dataclass(frozen=True)
class Plan:
    """An image, planned to the last byte but for the files' own."""

    size: int
    options: ImageOptions
    volume: Volume
    table: gpt.Gpt | None
    tree: Tree

    @property
    def payload(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.volume.demand.files)

    def files(self) -> tuple[FileReport, ...]:
        """The files, in their order on the volume; with digests when they are written."""
        return tuple(
            FileReport(show_path(path), file.size, file.sha256) for path, file in self.tree.files()
        )

    def write(self, sink: Sink) -> None:
        """Write the whole image."""
        sector = self.options.sector_size
        if self.table:
            sink.write(self.table.primary())
            sink.skip_to(self.table.first_lba * sector)
        self.volume.write(sink)
        if self.table:
            sink.skip_to(self.table.backup_start * sector)
            sink.write(self.table.backup())
        sink.skip_to(self.size)


def plan_image(items: Iterable[Item], options: ImageOptions) -> Plan:
    """Plan an image; of the files it reads their ends at most."""
    if options.sector_size not in SECTOR_SIZES:
        raise UsageError(f"must be one of {SECTOR_SIZES}", where="sector size")
    tree = Tree()
    for item in items:
        tree.add(item.path, item.source)
    demand = Demand(tree)
    size = _size(demand, options)
    kind = (size, options.sector_size, options.partitioned, options.seconds)
    digest = content_digest(kind, tree.files())
    sectors = size // options.sector_size
    table = None
    if options.partitioned:
        disk = uuid.uuid5(gpt.ESP_TYPE, digest.hex() + " disk")
        partition = uuid.uuid5(gpt.ESP_TYPE, digest.hex() + " partition")
        table = gpt.Gpt(sectors, options.sector_size, disk, partition, PARTITION_NAME)
    serial = int.from_bytes(digest[:4], "little")
    identity = Identity(serial, LABEL, options.seconds, table.first_lba if table else 0)
    volume = plan(
        demand,
        identity,
        sectors=_volume_sectors(size, options),
        sector_size=options.sector_size,
    )
    return Plan(size, options, volume, table, tree)


def build(
    items: Iterable[Item], options: ImageOptions, output: Path, progress: Progress | None = None
) -> Report:
    """Make an image file; `output` is replaced when all went well, else it is as it was.

    `progress` is told how many bytes of the files are copied.
    """
    check_output(output)
    planned = plan_image(items, options)
    tell = counter(progress, planned.payload)
    with atomic(output) as descriptor:
        sink = Sink(descriptor, str(output), digest=options.digest, progress=tell)
        planned.write(sink)
        digest = sink.finish()
    layout = planned.volume.layout
    serial = f"{planned.volume.identity.serial:08X}"
    return Report(
        output=str(output),
        size=planned.size,
        sector_size=options.sector_size,
        partitioned=options.partitioned,
        fat=layout.kind.name,
        cluster_size=layout.cluster_size,
        free=(layout.clusters - planned.volume.used) * layout.cluster_size,
        serial=f"{serial[:4]}-{serial[4:]}",
        sha256=digest,
        files=planned.files(),
    )
