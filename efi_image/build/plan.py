"""The plan of an image: every size, place and identity, decided before a byte is written.

The same files, options and SOURCE_DATE_EPOCH give the same bytes: what is usually random
(serial number, GUIDs) is derived from the files, and all files have one time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from efi_image.build.esp import contents
from efi_image.build.identity import content_digest, derived_guid
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import (
    Entry,
    Geometry,
    Table,
    gpt_of,
    mbr_of,
)
from efi_image.errors import DoesNotFitError, UsageError
from efi_image.formats import fat
from efi_image.formats.fat import Layout, Tree, Volume, VolumeContents, VolumeIdentity
from efi_image.formats.fat.geometry import MAX_SECTORS, MIB, SECTOR_SIZES, choose, smallest
from efi_image.formats.gpt.types import ESP
from efi_image.formats.gpt.writer import pack_backup, pack_primary
from efi_image.formats.iso9660 import structures as iso
from efi_image.formats.iso9660.writer import pack_file_system
from efi_image.io.sink import Sink
from efi_image.io.source import FileSource, Source

DEFAULT_SIZE = 64 * MIB  # FAT32 with sectors of 512 bytes, and room for a kernel
SPARE = 16  # an image that grows gets one SPARE-th more than it needs
PARTITION_NAME = "EFI system partition"


@dataclass(frozen=True, slots=True)
class Plan:
    """An image, planned to the last byte but for the files' own.

    `extras` are the bytes of the further partitions; `head` and `tail` are the partition
    table; derived identities come from `digest`. Sizes are in bytes.
    """

    options: ResolvedOptions
    size: int
    volume: Volume
    extras: tuple[Source, ...]
    entries: tuple[Entry, ...]
    head: bytes
    tail: bytes
    digest: bytes

    def sources(self) -> Iterator[Source]:
        """The bytes of all files and further partitions."""
        yield from (file.source for file in self.volume.contents.files)
        yield from self.extras

    @property
    def payload(self) -> int:
        """Bytes in all files and further partitions."""
        return sum(source.size for source in self.sources())

    def offset(self, entry: Entry) -> int:
        """The byte at which a partition begins."""
        return entry.place.first_lba * self.options.sector_size

    def write(self, sink: Sink) -> None:
        """Write the whole image, front to back; raises InputError and OutputError."""
        sink.write(self.head)
        sink.skip_to(self.offset(self.entries[0]))
        self.volume.write(sink)
        for entry, source in zip(self.entries[1:], self.extras, strict=True):
            sink.skip_to(self.offset(entry))
            sink.copy(source)
        sink.skip_to(self.size - len(self.tail))
        sink.write(self.tail)


def plan(options: ResolvedOptions, tree: Tree | None = None) -> Plan:
    """Decide everything about an image; of the files, it reads the ends at most.

    `tree` replaces the files that the options name. Raises InputError, UsageError and
    DoesNotFitError.
    """
    if options.sector_size not in SECTOR_SIZES:
        raise UsageError(f"must be one of {SECTOR_SIZES}", where=options.where("sector-size"))
    extras = tuple(FileSource.open(each.source) for each in options.partitions)
    geometry = Geometry(
        options.table,
        options.sector_size,
        options.alignment,
        tuple(source.size for source in extras),
        options.minimal,
    )
    geometry.check(options.where)
    volume_contents = VolumeContents(contents(options) if tree is None else tree)
    size, layout = _Sizes(options, geometry, volume_contents).choose()
    digest = _digest(options, size, volume_contents, extras)
    serial = options.volume_serial
    if serial is None:
        serial = int.from_bytes(digest[:4], "little")
    identity = VolumeIdentity(serial, options.label, options.seconds, geometry.first_lba)
    volume = fat.plan(volume_contents, identity, layout)
    entries = _entries(options, geometry, layout.sectors, digest)
    head, tail = _tables(options, geometry, size, entries, digest)
    return Plan(options, size, volume, extras, entries, head, tail, digest)


class _Sizes:
    """The choice of the image's size and of the FAT volume's layout."""

    def __init__(
        self, options: ResolvedOptions, geometry: Geometry, contents: VolumeContents
    ) -> None:
        self.options = options
        self.geometry = geometry
        self.contents = contents

    def choose(self) -> tuple[int, Layout]:
        """The image's size in bytes, and the layout of its volume."""
        if self.options.size is not None:
            return self._given(self.options.size)
        if self.options.minimal:
            least = self._smallest()
            return self.geometry.disk_sectors(least.sectors) * self.options.sector_size, least
        alignment = self.options.alignment
        extras = sum(-(-size // alignment) for size in self.geometry.extras) * alignment
        size = _whole_mib(DEFAULT_SIZE + extras)
        layout = self._layout(size)
        if layout is None:
            enough = self._enough()
            size = _whole_mib(enough + enough // SPARE)
            layout = self._layout(size)
        if layout is None:
            raise self._too_much()
        return size, layout

    def _given(self, size: int) -> tuple[int, Layout]:
        where, unit = self.options.where("size"), self.geometry.unit
        if self.options.minimal:
            raise UsageError("cannot be combined with the smallest size", where=where)
        if size % unit:
            raise UsageError(f"must be a multiple of {unit} bytes", where=where)
        if self.geometry.volume_sectors(size // self.options.sector_size) > MAX_SECTORS:
            raise DoesNotFitError(f"{size} bytes are more than a FAT volume can have", where=where)
        layout = self._layout(size)
        if layout is None:
            enough = self._enough()
            what = "few" if size < enough else "many"
            kind = f" on {self.options.fat.name}" if self.options.fat else ""
            raise DoesNotFitError(
                f"{size} bytes are too {what} for these files{kind}",
                where=where,
                hint=f"{enough // MIB}M is enough",
            )
        return size, layout

    def _layout(self, size: int) -> Layout | None:
        """The best layout of the volume on an image of that size that has room for the files."""
        sectors = self.geometry.volume_sectors(size // self.options.sector_size)
        return choose(sectors, self.options.sector_size, self.contents.fits, self.options.fat)

    def _smallest(self) -> Layout:
        needed = self.contents.clusters_needed
        layout = smallest(self.options.sector_size, needed, self.options.fat)
        if layout is None:
            raise self._too_much()
        return layout

    def _too_much(self) -> DoesNotFitError:
        fat = self.options.fat
        return DoesNotFitError(
            f"the files need more space than a {fat.name if fat else 'FAT'} volume can have",
            hint="choose a larger FAT type with --fat" if fat else "",
        )

    def _enough(self) -> int:
        """A size, in whole MiB, that is enough and not much more."""
        sector_size = self.options.sector_size
        size = _whole_mib(self.geometry.disk_sectors(self._smallest().sectors) * sector_size)
        while self._layout(size) is None:
            size = _whole_mib(size + max(MIB, size // 256))
            if size // sector_size > 2 * MAX_SECTORS:
                raise self._too_much()
        return size


def _whole_mib(size: int) -> int:
    return -(-size // MIB) * MIB


def _digest(
    options: ResolvedOptions, size: int, contents: VolumeContents, extras: tuple[Source, ...]
) -> bytes:
    """The digest that derived identities come from."""
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
    return content_digest(kind, zip(contents.paths, contents.files, strict=True), extras)


def _entries(
    options: ResolvedOptions, geometry: Geometry, volume: int, digest: bytes
) -> tuple[Entry, ...]:
    """All partitions, the one of the FAT volume (of so many sectors) first."""

    def guid(given: UUID | None, name: str) -> UUID:
        return given or derived_guid(digest, name)

    first, *others = geometry.places(volume)
    esp = Entry(first, ESP, guid(options.partition_guid, "partition"), PARTITION_NAME)
    extras = [
        Entry(place, each.type, guid(each.guid, f"partition {number}"), each.name, each.origin)
        for number, (place, each) in enumerate(zip(others, options.partitions, strict=True), 2)
    ]
    return esp, *extras


def _tables(
    options: ResolvedOptions,
    geometry: Geometry,
    size: int,
    entries: tuple[Entry, ...],
    digest: bytes,
) -> tuple[bytes, bytes]:
    """The bytes before and behind the partitions."""
    if options.table is Table.NONE:
        return b"", b""
    if options.table is Table.MBR:
        signature = options.disk_signature
        if signature is None:
            signature = int.from_bytes(digest[4:8], "little") or 1
        return mbr_of(signature, entries).pack(), b""
    disk = options.disk_guid or derived_guid(digest, "disk")
    table = gpt_of(geometry, size // options.sector_size, disk, entries)
    if options.table is Table.GPT:
        return pack_primary(table), pack_backup(table)
    place = entries[0].place
    system_area = pack_primary(table).ljust(iso.FIRST_DESCRIPTOR * iso.SECTOR, b"\0")
    file_system = pack_file_system(
        size=size,
        start=place.first_lba * options.sector_size,
        volume=place.sectors * options.sector_size,
        label=options.label,
        seconds=options.seconds,
    )
    return system_area + file_system, pack_backup(table)
