"""Changes the files of an existing FAT volume: in memory first, then as ordered writes.

The order keeps the volume readable at any time: new data goes to free clusters, then come their
chains, then the directories that name them, and last the chains that became free.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import groupby

from efi_image.errors import DoesNotFitError
from efi_image.formats.fat.allocation import set_entry
from efi_image.formats.fat.bpb import UNKNOWN, FsInfo
from efi_image.formats.fat.changes import Block, Changes, NewData
from efi_image.formats.fat.directory import (
    ATTRIBUTE_ARCHIVE,
    ATTRIBUTE_DIRECTORY,
    DELETED_ENTRY,
    DOT,
    DOT_DOT,
    MAX_ENTRIES,
    Timestamp,
    pack_entry,
)
from efi_image.formats.fat.folder import Folder, Item
from efi_image.formats.fat.free_space import FreeSpace, Run
from efi_image.formats.fat.geometry import DIRECTORY_ENTRY, FIRST_CLUSTER, FatType
from efi_image.formats.fat.reader import PAGE, FatVolume
from efi_image.formats.fat.tree import MAX_FILE
from efi_image.io.overlay import BLOCK, Overlay
from efi_image.io.source import Source

NO_NAME = bytes(11)


class FatEditor:
    """A volume whose changes stay in memory until `finish` returns them.

    `seconds` (since 1970, UTC) is the date of new files. With `reuse`, new files may get the
    clusters of removed ones: only for a copy that takes the image's place as a whole.
    """

    def __init__(self, medium: Overlay, seconds: int, *, reuse: bool) -> None:
        self.volume = FatVolume(medium)
        self.space = FreeSpace(self.volume)
        self._medium = medium
        self._at = Timestamp.of(seconds)
        self._reuse = reuse
        self._wide = self.volume.kind is FatType.FAT32
        self._folders: dict[int, tuple[Folder, list[int]]] = {}  # with their records' bytes
        self._data: list[NewData] = []
        self._chains: list[tuple[int, int, int]] = []  # first, length, the entry of the last
        self._freed: list[Run] = []
        self._fresh: set[int] = set()  # where blocks of new directories are on the volume

    @property
    def root(self) -> Folder:
        """The root directory."""
        return self.folder(0)

    def folder(self, cluster: int) -> Folder:
        """The directory that begins at that cluster; raises InputError."""
        if cluster == self.volume.boot.root_cluster and self._wide:
            cluster = 0
        if cluster not in self._folders:
            rows = list(self.volume.records(cluster))
            folder = Folder(cluster, [raw for _, raw in rows], wide=self._wide)
            self._folders[cluster] = folder, [at for at, _ in rows]
        return self._folders[cluster][0]

    # ---- operations

    def put_file(self, folder: Folder, name: str, source: Source) -> None:
        """A file of that name: a new one, or the old one's content replaced.

        Raises DoesNotFitError.
        """
        if source.size > MAX_FILE:
            raise DoesNotFitError("is larger than 4 GiB - 1, FAT's limit", where=source.name)
        old = folder.find(name)
        if old and self._reuse:
            self._release(old)
        first = self._store(source)
        if old is None:
            self._add(folder, name, pack_entry(NO_NAME, ATTRIBUTE_ARCHIVE, first, source.size,
                                               self._at))  # fmt: skip
            return
        if not self._reuse:
            self._release(old)
        record = bytearray(folder.records[old.last])
        record[11] |= ATTRIBUTE_ARCHIVE
        _set_cluster(record, first)
        struct.pack_into("<HH", record, 22, self._at.time, self._at.date)
        struct.pack_into("<I", record, 28, source.size)
        folder.update(old, bytes(record))

    def make_folder(self, parent: Folder, name: str) -> Folder:
        """A new, empty directory; raises DoesNotFitError."""
        size = self.volume.boot.cluster_size
        [(first, _)] = self.space.claim(size, name)
        self._chains.append((first, 1, self.volume.kind.end_of_chain))
        places = list(self._new_place(first, 1))
        folder = Folder(first, [bytes(DIRECTORY_ENTRY)] * len(places), wide=self._wide)
        self._folders[first] = folder, places
        for number, (dots, cluster) in enumerate(((DOT, first), (DOT_DOT, parent.cluster))):
            folder.put(number, pack_entry(dots, ATTRIBUTE_DIRECTORY, cluster, 0, self._at))
        self._add(parent, name, pack_entry(NO_NAME, ATTRIBUTE_DIRECTORY, first, 0, self._at))
        return folder

    def remove(self, folder: Folder, item: Item) -> None:
        """Remove a file, or a directory with everything in it; raises InputError."""
        folder.remove(item)
        waiting = [item]
        while waiting:
            each = waiting.pop()
            if each.is_directory:
                waiting.extend(self.folder(each.entry.first_cluster).items())
                del self._folders[each.entry.first_cluster]
            self._release(each)

    def move(self, item: Item, source: Folder, target: Folder, name: str) -> None:
        """Give a file or directory another name or place; nothing may have that name.

        Raises DoesNotFitError.
        """
        record = source.records[item.last]
        if source is target:
            source.remove(item)  # so that a change of case finds its name free
        self._add(target, name, record)
        if source is not target:
            source.remove(item)
            if item.is_directory:
                below = self.folder(item.entry.first_cluster)
                dots = bytearray(below.records[1])
                _set_cluster(dots, target.cluster)
                below.put(1, bytes(dots))

    def _add(self, folder: Folder, name: str, record: bytes) -> None:
        if missing := folder.room(name):
            self._grow(folder, missing, name)
        folder.add(name, record)

    def _grow(self, folder: Folder, missing: int, name: str) -> None:
        """More clusters for a directory."""
        _, places = self._folders[folder.cluster]
        size = self.volume.boot.cluster_size
        per_cluster = size // DIRECTORY_ENTRY
        count = -(-missing // per_cluster)
        fixed = folder.cluster == 0 and not self._wide
        if fixed or len(places) + count * per_cluster > MAX_ENTRIES:
            what = "the root directory" if fixed else "its directory"
            raise DoesNotFitError(
                f"does not fit: {what} has no room for more names",
                where=name,
                hint="use a directory of its own, or a shorter name",
            )
        boot = self.volume.boot
        sector = places[-1] // boot.sector_size - boot.data_start
        last = FIRST_CLUSTER + sector // boot.sectors_per_cluster
        for first, length in self.space.claim(count * size, name):
            self._chains.append((last, 1, first))
            self._chains.append((first, length, self.volume.kind.end_of_chain))
            last = first + length - 1
            places += self._new_place(first, length)
        folder.grow(count * per_cluster)

    def _store(self, source: Source) -> int:
        """The first cluster of a file that is new on the volume; 0 if it is empty."""
        if not source.size:
            return 0
        size = self.volume.boot.cluster_size
        runs = self.space.claim(source.size, source.name)
        for number, (first, length) in enumerate(runs):
            following = runs[number + 1][0] if number + 1 < len(runs) else 0
            self._chains.append((first, length, following or self.volume.kind.end_of_chain))
            place = self._medium.start + self.volume.offset(first)
            self._data.append(NewData(source, place, length * size))
        return runs[0][0]

    def _release(self, item: Item) -> None:
        if not item.entry.first_cluster:
            return
        for first, length in self.volume.chain_runs(item.entry.first_cluster):
            self._freed.append((first, length))
            if self._reuse:
                self.space.release(first, length)

    # ---- the result

    def finish(self) -> Changes:
        """All writes, none if nothing changed; the editor must not be used after that."""
        folders = [row for row in self._folders.values() if row[0].changed]
        if not (self._data or self._chains or self._freed or folders):
            return Changes()
        self._put_records(folders)
        if self._reuse:
            self._write_fat(self._freed_entries())
        self._write_fat(self._linked_entries())
        stages = self._stages()
        if not self._reuse:
            self._write_fat(self._freed_entries())
            for first, length in self._freed:
                self.space.release(first, length)
        self._write_fsinfo()
        before = {at: block for stage in stages for at, block in stage}
        blocks = self._medium.blocks.items()
        last = tuple((at, bytes(block)) for at, block in blocks if before.get(at) != bytes(block))
        return Changes(tuple(self._data), (*stages, last))

    def _put_records(self, folders: list[tuple[Folder, list[int]]]) -> None:
        """New records first: a file that moves has two names for a moment, but never none."""
        for is_last in (False, True):
            for folder, places in folders:
                for number in dict.fromkeys(folder.changed):
                    record = folder.records[number]
                    if (record[0] == DELETED_ENTRY) is is_last:
                        self._medium.put(places[number], record)

    def _freed_entries(self) -> Iterator[tuple[int, int]]:
        for first, length in sorted(self._freed):
            yield from ((cluster, 0) for cluster in range(first, first + length))

    def _linked_entries(self) -> Iterator[tuple[int, int]]:
        """(cluster, entry) of all new chains, sorted; of one that grew again, the last counts."""
        entries: dict[int, int] = {}
        for first, length, following in self._chains:
            entries.update((cluster, cluster + 1) for cluster in range(first, first + length - 1))
            entries[first + length - 1] = following
        return iter(sorted(entries.items()))

    def _write_fat(self, entries: Iterable[tuple[int, int]]) -> None:
        """Set entries, which are sorted by their cluster, in all FATs."""
        volume, per_page = self.volume, self.volume.page_entries
        size = volume.boot.fat_sectors * volume.boot.sector_size
        for number, group in groupby(entries, lambda entry: entry[0] // per_page):
            offset = number * PAGE
            length = min(PAGE, size - offset)
            raw = bytearray(self._medium.read(volume.fat_offset() + offset, length))
            for cluster, value in group:
                set_entry(raw, volume.kind, cluster - number * per_page, value)
            for copy in range(volume.boot.fats):
                self._medium.put(volume.fat_offset(copy) + offset, raw)

    def _write_fsinfo(self) -> None:
        boot = self.volume.boot
        if not self._wide or not 0 < boot.fsinfo_sector < boot.reserved:
            return
        offset = boot.fsinfo_sector * boot.sector_size
        if FsInfo.unpack(self._medium.read(offset, 512)).valid:
            following = self.space.next_free
            info = FsInfo(self.space.clusters, UNKNOWN if following < 0 else following)
            self._medium.put(offset, info.pack(boot.sector_size))

    def _stages(self) -> list[tuple[Block, ...]]:
        """New directories, then the FATs, then the directories that were there before."""
        boot, start = self.volume.boot, self._medium.start
        first_fat = start + self.volume.fat_offset(0)
        fats = range(first_fat, first_fat + boot.fats * boot.fat_sectors * boot.sector_size)
        stages: list[list[Block]] = [[], [], []]
        for at, block in self._medium.blocks.items():
            number = 0 if at - start in self._fresh else 1 if at in fats else 2
            stages[number].append((at, bytes(block)))
        return [tuple(stage) for stage in stages]

    def _new_place(self, first: int, length: int) -> range:
        """The bytes of new clusters of a directory, zeroed."""
        place, size = self.volume.offset(first), length * self.volume.boot.cluster_size
        self._medium.put(place, bytes(size))
        self._fresh.update(range(place, place + size, BLOCK))
        return range(place, place + size, DIRECTORY_ENTRY)


def _set_cluster(record: bytearray, cluster: int) -> None:
    struct.pack_into("<H", record, 20, cluster >> 16)
    struct.pack_into("<H", record, 26, cluster & 0xFFFF)
