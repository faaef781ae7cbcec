"""Facts about an image: its partition table, partitions, volumes and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TypeVar

from efi_image.errors import InputError
from efi_image.formats.disk import Disk, Partition, Scheme
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import FilePath, FileSystem, Kind, Node, descend, show_path, walk
from efi_image.formats.iso9660.reader import IsoVolume
from efi_image.formats.magic import content_of
from efi_image.inspect.pe import PeFacts, pe_facts
from efi_image.progress import Progress, counter

OVERLAP = 2  # times an image's size: a hybrid ISO is its own partition


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file or directory; `size` in bytes, `fault` says why its PE facts are missing."""

    path: str
    kind: Kind
    size: int
    modified: str
    attributes: str
    target: str
    pe: PeFacts | None
    fault: str


class Files:
    """The files and directories of a volume, read again by every iteration.

    After an iteration, `faults` says why some may be missing. With `programs`, the facts of PE
    files are read as well. `progress` gets how many of the `used` bytes were passed.
    """

    def __init__(
        self, volume: FileSystem, used: int, *, programs: bool, progress: Progress | None
    ) -> None:
        self._volume = volume
        self._used = used
        self._programs = programs
        self._progress = progress
        self.faults: list[str] = []

    def __iter__(self) -> Iterator[FileFacts]:
        """All files, each directory before those below it."""
        budget = _Budget(self._volume.medium.size)
        for path, node in self._iterate(walk):
            yield self._facts(path, node, budget)

    def outlines(self) -> Iterator[FileFacts]:
        """The same without the facts of PE files."""
        for path, node in self._iterate(walk):
            yield _outline(path, node)

    def tree(self) -> Iterator[tuple[int, bool, FileFacts]]:
        """(depth, whether it is the directory's last, facts), each followed by those below it."""
        budget = _Budget(self._volume.medium.size)
        for path, node, is_last in self._iterate(descend):
            yield len(path) - 1, is_last, self._facts(path, node, budget)

    def _iterate(self, order: Callable[..., Iterator[_Row]]) -> Iterator[_Row]:
        self.faults.clear()
        tell = counter(self._progress, self._used)
        scanned = self._volume.scanned
        try:
            for row in order(self._volume, faults=self.faults):
                yield row
                if tell:
                    tell(row[1].size + self._volume.scanned - scanned)
                    scanned = self._volume.scanned
        except InputError as error:
            self.faults.append(str(error))

    def _facts(self, path: FilePath, node: Node, budget: _Budget) -> FileFacts:
        facts = _outline(path, node)
        if not (self._programs and node.kind is Kind.FILE and _is_program(node.name)):
            return facts
        if not budget.take(node.size):
            return replace(facts, fault="was not read, because it overlaps others")
        try:
            return replace(facts, pe=pe_facts(self._volume.chunks(node), facts.path))
        except InputError as error:
            return replace(facts, fault=error.what)


_Row = TypeVar("_Row", bound=tuple[FilePath, Node] | tuple[FilePath, Node, bool])


def _outline(path: FilePath, node: Node) -> FileFacts:
    return FileFacts(
        show_path(path),
        node.kind,
        node.size,
        date_text(node),
        node.attributes,
        node.target,
        None,
        "",
    )


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume; sizes in bytes, `free` is -1 if it is unknown; `unread` is not read of it."""

    format: str
    label: str
    serial: str
    sector_size: int
    cluster_size: int
    clusters: int
    free: int
    boot_entries: tuple[str, ...]
    unread: str
    files: Files
    faults: list[str]  # filled by an iteration over `files`


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """A partition and its volume; `start` and `size` in bytes.

    Without a volume, `content` names the content, '' if it is unknown, and `fault` says why
    the volume cannot be read.
    """

    name: str
    start: int
    size: int
    type: str
    label: str
    guid: str
    is_esp: bool
    volume: VolumeFacts | None
    content: str
    fault: str


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image; `table` describes the state of the partition table, sizes are in bytes.

    `content` names the content where there is no known table or volume, '' if it is unknown.
    """

    name: str
    size: int
    scheme: Scheme
    content: str
    sector_size: int
    disk_id: str
    table: tuple[str, ...]
    partitions: tuple[PartitionFacts, ...]


class _Budget:
    """A number of bytes to read; only partitions or files that overlap need more."""

    def __init__(self, size: int) -> None:
        self._left = OVERLAP * size

    def take(self, size: int) -> bool:
        """Take `size` bytes if so many are left; whether they are."""
        enough = size <= self._left
        self._left -= size if enough else 0
        return enough


@dataclass(frozen=True, slots=True)
class _Limits:
    """What to read of an image."""

    programs: bool
    budget: _Budget
    progress: Progress | None


def date_text(node: Node) -> str:
    """The date of a file in ISO form, '' without one; with a `Z` in UTC; FAT has no time zone."""
    if node.modified is None:
        return ""
    if node.modified.tzinfo is UTC:
        return node.modified.replace(tzinfo=None).isoformat(sep=" ") + "Z"
    return node.modified.isoformat(sep=" ")


def _is_program(name: str) -> bool:
    """Whether the name is one of a PE file: an EFI program or a Linux kernel."""
    lower = name.lower()
    return lower.endswith((".efi", ".efi.signed")) or lower.startswith(("vmlinuz", "bzimage"))


def image_facts(
    disk: Disk, *, programs: bool = True, progress: Progress | None = None
) -> ImageFacts:
    """The facts about an image; with `programs`, also those about its PE files.

    The files are read when they are iterated over; `progress` gets the bytes that were passed.
    Damage is told in the facts. Raises InputError if the table cannot be read at all.
    """
    limits = _Limits(programs, _Budget(disk.medium.size), progress)
    return ImageFacts(
        name=disk.medium.name,
        size=disk.medium.size,
        scheme=disk.scheme,
        content=content_of(disk.medium) if disk.scheme is Scheme.UNKNOWN else "",
        sector_size=disk.sector_size,
        disk_id=_disk_id(disk),
        table=tuple(_table(disk)),
        partitions=tuple(_partition(disk, p, limits) for p in disk.partitions),
    )


def _disk_id(disk: Disk) -> str:
    if disk.gpt:
        return str(disk.gpt.best.header.disk_guid).upper()
    return f"{disk.mbr.disk_signature:08X}" if disk.mbr else ""


def _table(disk: Disk) -> Iterator[str]:
    if disk.gpt:
        for name, half in (("primary", disk.gpt.primary), ("backup", disk.gpt.backup)):
            if half is None:
                yield f"{name} header: missing"
            elif half.usable:
                yield f"{name} header: valid, at sector {half.lba}"
            else:
                part = "header" if not half.header.crc_valid else "entries"
                reason = half.fault or f"the checksum of the {part} is wrong"
                yield f"{name} header: damaged, at sector {half.lba}: {reason}"
        if disk.mbr is None or not disk.mbr.is_protective:
            yield "protective MBR: missing"
    elif disk.mbr and disk.mbr.fault:
        yield f"logical partitions: {disk.mbr.fault}"


def _partition(disk: Disk, partition: Partition, limits: _Limits) -> PartitionFacts:
    volume, content, fault = None, "", ""
    try:
        if not limits.budget.take(disk.medium_of(partition).size):
            fault = "was not read, because it overlaps others"
        elif disk.has_volume(partition):
            volume = _volume(disk.volume(partition), limits)
        else:
            content = content_of(disk.medium_of(partition))
    except InputError as error:
        fault = error.what
    return PartitionFacts(
        name=partition.name,
        start=partition.start,
        size=partition.size,
        type=partition.type_name,
        label=partition.label,
        guid=partition.guid,
        is_esp=partition.is_esp,
        volume=volume,
        content=content,
        fault=fault,
    )


def _volume(volume: FileSystem, limits: _Limits) -> VolumeFacts:
    serial, sector, cluster, clusters, free = "", 0, 0, 0, -1
    if isinstance(volume, FatVolume):
        boot = volume.boot
        serial = f"{boot.serial >> 16:04X}-{boot.serial & 0xFFFF:04X}"
        sector, cluster, clusters = boot.sector_size, boot.cluster_size, volume.clusters
        unused = volume.free_clusters()
        free = unused * cluster if unused >= 0 else -1
    # where the free space is unknown, progress ends too early
    used = clusters * cluster - max(free, 0) or volume.medium.size
    files = Files(volume, used, programs=limits.programs, progress=limits.progress)
    return VolumeFacts(
        format=volume.format,
        label=volume.label,
        serial=serial,
        sector_size=sector,
        cluster_size=cluster,
        clusters=clusters,
        free=free,
        boot_entries=_boot_entries(volume),
        unread=volume.unread,
        files=files,
        faults=files.faults,
    )


def _boot_entries(volume: FileSystem) -> tuple[str, ...]:
    if not isinstance(volume, IsoVolume):
        return ()
    try:
        entries, fault = volume.boot_entries(), volume.catalog_fault()
    except InputError as error:
        return (f"the boot catalog cannot be read: {error.what}",)
    ignored = (f"firmware ignores the boot catalog: {fault}",) if fault else ()
    return ignored + tuple(
        f"{e.platform}{f' ({e.fault})' if e.fault else ''}: block {e.block}, "
        f"{e.sectors} sectors of 512 bytes"
        for e in entries
    )
