"""Reads FAT volumes of any maker, leniently: a fault is not yet a reason to give up."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache, lru_cache
from itertools import accumulate

from efi_image.errors import InputError
from efi_image.formats.fat import geometry
from efi_image.formats.fat.allocation import unpack_fat
from efi_image.formats.fat.bpb import BootSector
from efi_image.formats.fat.directory import (
    ATTRIBUTE_LETTERS,
    MAX_ENTRIES,
    DirectoryEntry,
    EntryKind,
    unpack_entries,
)
from efi_image.formats.fat.geometry import DIRECTORY_ENTRY, FIRST_CLUSTER, FatType
from efi_image.formats.fat.names import fold
from efi_image.formats.files import Kind, Node
from efi_image.io.medium import Medium

COMPARED = 4096  # entries of a FAT compared at a time
PAGE = 3 << 14  # bytes of a FAT read at a time; whole FAT12, FAT16 and FAT32 entries


class ChainFault(Enum):
    """How a cluster chain goes wrong."""

    OUTSIDE = "leads to a cluster that does not exist"
    FREE = "leads to a free cluster"
    BAD = "leads to a cluster marked bad"
    LOOP = "leads back into itself"
    SHORT = "ends too early"
    LONG = "is too long"


class ChainError(InputError):
    """A cluster chain that cannot be followed; `cluster` is the last good one."""

    def __init__(self, fault: ChainFault, cluster: int, where: str) -> None:
        super().__init__(f"the chain {fault.value} after cluster {cluster}", where=where)
        self.fault = fault
        self.cluster = cluster


@dataclass(frozen=True, slots=True)
class ClusterChain:
    """The cluster chain of a file of `size` bytes, or of a directory; cluster 0 is the root."""

    first_cluster: int = 0
    size: int = 0


class FatVolume:
    """A FAT volume on a medium; raises InputError if it is not one, or cannot be read at all."""

    unread = ""

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.boot = BootSector.unpack(medium.peek(0, 512).ljust(512, b"\0"))
        if self.boot.fault:
            raise InputError(f"is not a FAT volume: it {self.boot.fault}", where=medium.name)
        self.clusters = self.boot.clusters
        self.kind = FatType.of(self.clusters)
        self.last_cluster = self.clusters + FIRST_CLUSTER - 1
        self.scanned = 0
        self.active_fat = self.boot.active_fat
        self._page = lru_cache(maxsize=16)(self._read_page)

    # ---- the FAT

    def _entries_in_fat(self) -> int:
        return self.boot.fat_sectors * self.boot.sector_size * 8 // self.kind.value

    def fat_offset(self, copy: int | None = None) -> int:
        """The byte on the volume where a FAT begins, by default the active one."""
        copy = self.active_fat if copy is None else copy
        return (self.boot.reserved + copy * self.boot.fat_sectors) * self.boot.sector_size

    def _read_page(self, copy: int | None, number: int) -> array[int]:
        """A piece of a FAT, as numbers; pieces have `page_entries` of them."""
        offset = number * PAGE
        length = min(PAGE, self.boot.fat_sectors * self.boot.sector_size - offset)
        raw = self.medium.read(self.fat_offset(copy) + offset, length)
        return unpack_fat(self.kind, raw)

    def page(self, number: int, copy: int | None = None) -> array[int]:
        """A piece of a FAT, raw; FAT32's upper four bits are not cleared."""
        return self._page(copy, number)

    @property
    def page_entries(self) -> int:
        """Entries in a piece of the FAT."""
        return PAGE * 8 // self.kind.value

    def entry(self, cluster: int, copy: int | None = None) -> int:
        """The FAT's entry for a cluster, without FAT32's upper four bits."""
        if not 0 <= cluster < self._entries_in_fat():
            raise InputError(f"the FAT has no entry {cluster}", where=self.medium.name)
        page, index = divmod(cluster, self.page_entries)
        return self._page(copy, page)[index] & self.kind.end_of_chain

    def table(self, copy: int | None = None) -> Iterator[array[int]]:
        """A FAT's raw entries up to the last cluster's, in pieces; the first are 0 and 1."""
        left = min(self.last_cluster + 1, self._entries_in_fat())
        number = 0
        while left > 0:
            page = self._read_page(copy, number)
            yield page[:left]
            left -= len(page)
            number += 1

    def free_clusters(self) -> int:
        """Free clusters, counted in the FAT; -1 if it cannot be read."""
        try:
            return sum(page.count(0) for page in self.table())
        except InputError:
            return -1

    def is_end(self, value: int) -> bool:
        """Whether a FAT entry ends a chain."""
        return value >= self.kind.end_of_chain - 7

    def is_bad(self, value: int) -> bool:
        """Whether a FAT entry marks its cluster as bad."""
        return value == self.kind.end_of_chain - 8

    def exists(self, cluster: int) -> bool:
        """Whether there is such a cluster."""
        return FIRST_CLUSTER <= cluster <= self.last_cluster

    def _run(self, first: int) -> tuple[int, int]:
        """Clusters of a chain from `first` on that are contiguous, and the entry of the last.

        A run ends at the end of a piece of the FAT at the latest.
        """
        number, index = divmod(first, self.page_entries)
        if not 0 <= first < self._entries_in_fat():
            raise InputError(f"the FAT has no entry {first}", where=self.medium.name)
        page = self._page(None, number)
        length, step = 0, 1
        while step:
            count = min(step, len(page) - index - length, self.last_cluster - first - length)
            following = first + length + 1
            wanted = array(page.typecode, range(following, following + count))
            if count > 0 and page[index + length : index + length + count] == wanted:
                length += count
                step = min(2 * step, COMPARED)
            else:
                step //= 8
        if index + length == len(page):
            return length, first + length
        return length + 1, page[index + length] & self.kind.end_of_chain

    def chain_runs(self, first: int, where: str = "") -> Iterator[tuple[int, int]]:
        """A whole chain as (first, length) of contiguous clusters; raises ChainError.

        A loop is found after some rounds at most (Brent: the anchor moves at every power of two).
        """
        where = where or self.medium.name
        if not self.exists(first):
            raise ChainError(ChainFault.OUTSIDE, first, where)
        cluster, anchor, steps, limit = first, 0, 0, 1
        while True:
            length, value = self._run(cluster)
            if cluster <= anchor < cluster + length:
                raise ChainError(ChainFault.LOOP, anchor, where)
            yield cluster, length
            steps += length
            if steps >= limit:
                anchor, steps, limit = cluster, 0, limit * 2
            last = cluster + length - 1
            if self.is_end(value):
                return
            if not self.exists(value):
                raise ChainError(self._fault(value), last, where)
            cluster = value

    def _fault(self, value: int) -> ChainFault:
        """What is wrong with a FAT entry that leads nowhere."""
        if value == 0:
            return ChainFault.FREE
        return ChainFault.BAD if self.is_bad(value) else ChainFault.OUTSIDE

    def chain(self, first: int, where: str = "") -> Iterator[int]:
        """The clusters of a chain; raises ChainError, for a loop after some rounds at most."""
        for start, length in self.chain_runs(first, where):
            yield from range(start, start + length)

    def length(self, first: int, where: str = "", limit: int | None = None) -> int:
        """Clusters in a chain, followed to its end, or up to a limit; raises ChainError."""
        total = 0
        for _, length in self.chain_runs(first, where):
            total += length
            if limit is not None and total >= limit:
                return limit
        return total

    def offset(self, cluster: int) -> int:
        """The byte on the volume where a cluster begins."""
        boot = self.boot
        index = cluster - FIRST_CLUSTER
        return boot.data_start * boot.sector_size + index * boot.cluster_size

    def runs(self, first: int, count: int, where: str = "") -> Iterator[tuple[int, int]]:
        """A chain's first `count` clusters as (first, length) of contiguous ones."""
        last = first
        for start, length in self.chain_runs(first, where):
            taken = min(length, count)
            yield start, taken
            count -= taken
            if not count:
                return
            last = start + length - 1
        raise ChainError(ChainFault.SHORT, last, where or self.medium.name)

    # ---- directories

    def _extents(self, first: int) -> Iterator[tuple[int, int]]:
        """(byte on the volume, bytes) of a directory's parts."""
        boot = self.boot
        if first == 0 and self.kind is not FatType.FAT32:
            yield boot.root_start * boot.sector_size, boot.root_entries * DIRECTORY_ENTRY
            return
        left = MAX_ENTRIES * DIRECTORY_ENTRY
        for cluster in self.chain(first or boot.root_cluster, f"{self.medium.name}: directory"):
            if left <= 0:
                raise ChainError(ChainFault.LONG, cluster, f"{self.medium.name}: directory")
            yield self.offset(cluster), min(boot.cluster_size, left)
            left -= boot.cluster_size

    def records(self, first_cluster: int = 0) -> Iterator[tuple[int, bytes]]:
        """A directory's 32-byte records with their byte on the volume, free ones included.

        Cluster 0 is the root directory.
        """
        for offset, size in self._extents(first_cluster):
            data = self.medium.read(offset, size)
            self.scanned += size
            for index in range(0, size - DIRECTORY_ENTRY + 1, DIRECTORY_ENTRY):
                yield offset + index, data[index : index + DIRECTORY_ENTRY]

    def entries(self, first_cluster: int = 0, *, deleted: bool = False) -> Iterator[DirectoryEntry]:
        """A directory's entries; raises InputError where it cannot be read."""
        records = self.records(first_cluster)
        return unpack_entries(records, wide=self.kind is FatType.FAT32, deleted=deleted)

    # ---- as a file system

    @property
    def format(self) -> str:
        """FAT12, FAT16 or FAT32."""
        return self.kind.name

    @property
    def label(self) -> str:
        """The root directory's label, else the boot sector's."""
        try:
            for entry in self.entries():
                if entry.kind is EntryKind.LABEL:
                    return entry.short.decode("cp437").rstrip()
        except InputError:
            pass
        if self.boot.extended_signature != geometry.EXTENDED_SIGNATURE:
            return ""
        label = self.boot.label.decode("cp437").rstrip(" \0")
        return "" if label == "NO NAME" else label

    @property
    def root(self) -> Node:
        """The root directory."""
        return Node("", Kind.DIRECTORY, 0, None, "", ClusterChain())

    def children(self, directory: Node) -> Iterator[Node]:
        """The files and directories in a directory."""
        assert isinstance(directory.place, ClusterChain)
        for entry in self.entries(directory.place.first_cluster):
            if entry.kind in (EntryKind.FILE, EntryKind.DIRECTORY):
                yield _node(entry)

    def chunks(self, file: Node) -> Iterator[bytes]:
        """A file's bytes, in pieces; raises InputError before the first if the chain is bad."""
        for offset, size in self._pieces(file):
            yield from self.medium.chunks(offset, size)

    def reader(self, file: Node) -> Callable[[int, int], bytes]:
        """A function that reads a file: (offset, count) → the bytes, fewer at its end.

        Raises InputError if the chain is bad.
        """
        pieces = list(self._pieces(file))
        ends = list(accumulate(size for _, size in pieces))

        def read_at(offset: int, count: int) -> bytes:
            found = b""
            for number in range(bisect_right(ends, offset), len(pieces)):
                place, size = pieces[number]
                skipped = offset + len(found) - (ends[number] - size)
                found += self.medium.read(place + skipped, min(size - skipped, count - len(found)))
                if len(found) == count:
                    break
            return found

        return read_at

    def _pieces(self, file: Node) -> Iterator[tuple[int, int]]:
        """Offset and size of each contiguous piece of a file."""
        chain = file.place
        assert isinstance(chain, ClusterChain)
        if not chain.size:
            return
        where = f"{self.medium.name}: {file.name}"
        count = -(-chain.size // self.boot.cluster_size)
        # a loop among the first clusters shows before eight times as many have been followed
        if self.length(chain.first_cluster, where, 8 * count) < count:
            raise ChainError(ChainFault.SHORT, chain.first_cluster, where)
        left = chain.size
        for start, length in self.runs(chain.first_cluster, count, where):
            size = min(left, length * self.boot.cluster_size)
            yield self.offset(start), size
            left -= size

    def same_name(self, one: str, other: str) -> bool:
        """FAT ignores case."""
        return fold(one) == fold(other)


@cache
def _letters(attributes: int) -> str:
    return "".join(letter for bit, letter in enumerate(ATTRIBUTE_LETTERS) if attributes >> bit & 1)


def _node(entry: DirectoryEntry) -> Node:
    is_directory = entry.kind is EntryKind.DIRECTORY
    return Node(
        name=entry.name,
        kind=Kind.DIRECTORY if is_directory else Kind.FILE,
        size=0 if is_directory else entry.size,
        modified=entry.modified.datetime(),
        attributes=_letters(entry.attributes),
        place=ClusterChain(entry.first_cluster, 0 if is_directory else entry.size),
        alias=entry.short_name if entry.long else "",
    )
