"""Facts about an image: its table, partitions, volumes and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from efi_image.errors import InputError
from efi_image.formats.disk import Disk, Partition, Scheme
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import FileSystem, Kind, Node, Path, descend, show, walk
from efi_image.formats.iso9660.reader import IsoVolume
from efi_image.formats.magic import content_of
from efi_image.inspect.pe import PeFacts, facts_of_pieces
from efi_image.io.medium import Medium
from efi_image.progress import Progress, counter

OVERLAP = 2  # times an image's size: a hybrid ISO is its own partition


@dataclass(frozen=True)
class FileFacts:
    """A file or directory; `fault` says why its PE facts are missing."""

    path: str
    kind: Kind
    size: int
    modified: str
    attributes: str
    target: str
    pe: PeFacts | None
    fault: str


class Files:
    """The files and directories of a volume, read anew whenever they are gone through.

    `faults` are why some may be missing, when they were; `programs`: PE files are looked into.
    `progress` is told how many of the `used` bytes were passed.
    """

    def __init__(
        self, volume: FileSystem, used: int, *, programs: bool, progress: Progress | None
    ) -> None:
        self._volume = volume
        self._used = used
        self._programs = programs
        self._progress = progress
        self.faults: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[FileFacts]:
        """Each directory before all that is below it."""
        budget = _Budget(self._volume.medium.size)
        for path, node in self._going(walk):
            yield self._facts(path, node, budget)

    def outlines(self) -> Iterator[FileFacts]:
        """The same, not looked into."""
        for path, node in self._going(walk):
            yield _outline(path, node)

    def tree(self) -> Iterator[tuple[int, bool, FileFacts]]:
        """Each followed by what it holds: depth, whether it is its directory's last, facts."""
        budget = _Budget(self._volume.medium.size)
        for path, node, is_last in self._going(descend):
            yield len(path) - 1, is_last, self._facts(path, node, budget)

    def _going(self, way: Callable[..., Iterator[_Met]]) -> Iterator[_Met]:
        faults: list[str] = []
        tell = counter(self._progress, self._used)
        scanned = self._volume.scanned
        try:
            for met in way(self._volume, faults=faults):
                yield met
                if tell:
                    tell(met[1].size + self._volume.scanned - scanned)
                    scanned = self._volume.scanned
        except InputError as error:
            faults.append(str(error))
        self.faults = tuple(faults)

    def _facts(self, path: Path, node: Node, budget: _Budget) -> FileFacts:
        facts = _outline(path, node)
        if not (self._programs and node.kind is Kind.FILE and is_program(node.name)):
            return facts
        if not budget.take(node.size):
            return replace(facts, fault="is not looked into, for it overlaps others")
        try:
            return replace(facts, pe=facts_of_pieces(self._volume.chunks(node), facts.path))
        except InputError as error:
            return replace(facts, fault=error.what)


_Met = TypeVar("_Met", bound=tuple[Path, Node] | tuple[Path, Node, bool])


class Faults:
    """Why some files of a volume may be missing; known when they were gone through."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files.faults)


def _outline(path: Path, node: Node) -> FileFacts:
    return FileFacts(
        show(path), node.kind, node.size, when(node), node.attributes, node.target, None, ""
    )


@dataclass(frozen=True)
class VolumeFacts:
    """A volume; sizes in bytes, `free` is -1 if it is not known."""

    format: str
    label: str
    serial: str
    sector_size: int
    cluster_size: int
    clusters: int
    free: int
    boot_entries: tuple[str, ...]
    files: Files
    faults: Faults


@dataclass(frozen=True)
class PartitionFacts:
    """A partition and the volume in it.

    Without a volume, `content` is the name of what is there instead (or ''), and `fault` says
    what is wrong.
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


@dataclass(frozen=True)
class ImageFacts:
    """An image; `table` says in words what there is of a partition table.

    `content` is the name of what is there instead of a known table or volume, or ''.
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
    """So many bytes are looked into; more only where partitions or files overlap."""

    def __init__(self, size: int) -> None:
        self._left = OVERLAP * size

    def take(self, size: int) -> bool:
        """Whether there is enough left; it is taken then."""
        enough = size <= self._left
        self._left -= size if enough else 0
        return enough


@dataclass(frozen=True)
class _Depth:
    """How much of an image is looked into."""

    programs: bool
    of_partitions: _Budget
    progress: Progress | None


def when(node: Node) -> str:
    """A node's date in ISO form, '' without one; UTC has a `Z`, FAT's no zone at all."""
    if node.modified is None:
        return ""
    if node.modified.tzinfo is UTC:
        return node.modified.replace(tzinfo=None).isoformat(sep=" ") + "Z"
    return node.modified.isoformat(sep=" ")


def seconds(moment: datetime) -> float:
    """Seconds since 1970; a date without a zone is taken for UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def is_program(name: str) -> bool:
    """Whether a file of that name is looked at as a PE file."""
    lower = name.lower()
    return lower.endswith((".efi", ".efi.signed")) or lower.startswith(("vmlinuz", "bzimage"))


def image_facts(
    disk: Disk, *, programs: bool = True, progress: Progress | None = None
) -> ImageFacts:
    """All facts; `programs`: PE files are looked into, too.

    `progress` is told of the files while they are gone through.
    """
    depth = _Depth(programs, _Budget(disk.medium.size), progress)
    return ImageFacts(
        name=disk.medium.name,
        size=disk.medium.size,
        scheme=disk.scheme,
        content=content_of(disk.medium) if disk.scheme is Scheme.UNKNOWN else "",
        sector_size=disk.sector_size,
        disk_id=_disk_id(disk),
        table=tuple(_table(disk)),
        partitions=tuple(_partition(disk, p, depth) for p in disk.partitions),
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
                yield f"{name} header: right, at sector {half.lba}"
            else:
                part = "header" if not half.header.crc_valid else "entries"
                reason = half.fault or f"the checksum of the {part} is wrong"
                yield f"{name} header: damaged, at sector {half.lba}: {reason}"
        if disk.mbr is None or not disk.mbr.is_protective:
            yield "protective MBR: missing"
    elif disk.mbr and disk.mbr.fault:
        yield f"logical partitions: {disk.mbr.fault}"


def _partition(disk: Disk, partition: Partition, depth: _Depth) -> PartitionFacts:
    volume, content, fault = None, "", ""
    try:
        if not depth.of_partitions.take(disk.medium_of(partition).size):
            fault = "is not looked into, for it overlaps others"
        elif disk.has_volume(partition):
            volume = _volume(disk.volume(partition), depth)
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


def _volume(volume: FileSystem, depth: _Depth) -> VolumeFacts:
    serial, sector, cluster, clusters, free = "", 0, 0, 0, -1
    if isinstance(volume, FatVolume):
        boot = volume.boot
        serial = f"{boot.serial >> 16:04X}-{boot.serial & 0xFFFF:04X}"
        sector, cluster, clusters = boot.sector_size, boot.cluster_size, volume.clusters
        unused = volume.free_clusters()
        free = unused * cluster if unused >= 0 else -1
    # where nobody knows what is free, progress ends too early
    used = clusters * cluster - max(free, 0) or volume.medium.size
    files = Files(volume, used, programs=depth.programs, progress=depth.progress)
    return VolumeFacts(
        format=volume.format,
        label=volume.label,
        serial=serial,
        sector_size=sector,
        cluster_size=cluster,
        clusters=clusters,
        free=free,
        boot_entries=_boot_entries(volume),
        files=files,
        faults=Faults(files),
    )


def _boot_entries(volume: FileSystem) -> tuple[str, ...]:
    if not isinstance(volume, IsoVolume):
        return ()
    try:
        entries = volume.boot_entries()
    except InputError as error:
        return (f"the boot catalogue cannot be read: {error.what}",)
    return tuple(
        f"{e.platform}{'' if e.bootable else ' (not bootable)'}: block {e.block}, "
        f"{e.sectors} sectors of 512 bytes"
        for e in entries
    )


def is_pe(medium: Medium) -> bool:
    """Whether a file begins as a PE file, not as a disk: a hybrid image may begin with MZ, too."""
    head = medium.peek(0, 64)
    if len(head) < 64 or not head.startswith(b"MZ"):
        return False
    return medium.peek(int.from_bytes(head[60:64], "little"), 4) == b"PE\0\0"
