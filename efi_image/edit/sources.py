"""The files and directories to copy: of this machine, or of an image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from efi_image.errors import InputError, UsageError
from efi_image.formats.fat.names import check_name
from efi_image.formats.files import FilePath, FileSystem, Kind, Node, find, show_path, walk
from efi_image.io.source import FileSource, Source


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a directory if `source` is None, with its path below the one that is copied."""

    path: FilePath
    source: Source | None


@dataclass(frozen=True, slots=True)
class Group:
    """A file, or a directory and everything in it; the first entry, without a path, is itself.

    `name` is '' for the contents of a directory, as of `.`.
    """

    name: str
    entries: tuple[Entry, ...]


class VolumeSource:
    """A file on a volume."""

    __slots__ = ("_node", "_volume", "name", "size")

    def __init__(self, volume: FileSystem, path: FilePath, node: Node) -> None:
        self.name = f"{volume.medium.name}:{show_path(path)}"
        self.size = node.size
        self._volume = volume
        self._node = node

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces; raises InputError."""
        return map(memoryview, self._volume.chunks(self._node))

    def read_at(self, offset: int, count: int) -> bytes:
        """`count` bytes from that offset; fewer at the end."""
        found, position = b"", 0
        for chunk in self._volume.chunks(self._node):
            if position < offset + count and position + len(chunk) > offset:
                found += chunk[max(0, offset - position) : offset + count - position]
            position += len(chunk)
        return found


def need_recursive(where: str, recursive: bool) -> None:
    """Raise UsageError for the directory `where` unless directories are to be copied."""
    if not recursive:
        raise UsageError("is a directory", where=where, hint="copy it with -r")


def on_host(path: str, *, recursive: bool) -> Group:
    """The files at that path of this machine; links to files are followed.

    Raises InputError, FatNameError, UsageError.
    """
    own = os.path.basename(path.rstrip("/"))  # noqa: PTH119
    if not os.path.isdir(path):  # noqa: PTH112
        return Group(own, (Entry((), FileSource.open(path)),))
    need_recursive(path, recursive)
    return Group(own if own not in ("", ".", "..") else "", (Entry((), None), *_below(path, ())))


def _below(folder: str, above: FilePath) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as rows:
            entries = sorted(rows, key=attrgetter("name"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=folder) from None
    for entry in entries:
        path = (*above, check_name(entry.name, entry.path))
        if not entry.is_dir():
            yield Entry(path, FileSource.open(entry.path))
        elif entry.is_symlink():
            raise InputError("is a link to a directory; FAT has no links", where=entry.path)
        else:
            yield Entry(path, None)
            yield from _below(entry.path, path)


def on_volume(volume: FileSystem, path: FilePath, *, recursive: bool) -> Group:
    """The files at that path of a volume; raises InputError, also for links, and UsageError."""
    real, node = find(volume, path)
    rows: list[tuple[FilePath, Node]] = [((), node)]
    if node.kind is Kind.DIRECTORY:
        need_recursive(show_path(real), recursive)
        rows += walk(volume, node)
    entries = (_entry(volume, (*real, *below), below, each) for below, each in rows)
    return Group(real[-1] if real else "", tuple(entries))


def _entry(volume: FileSystem, path: FilePath, below: FilePath, node: Node) -> Entry:
    if node.kind is Kind.LINK:
        raise InputError("is a link; FAT has no links", where=show_path(path))
    is_directory = node.kind is Kind.DIRECTORY
    return Entry(below, None if is_directory else VolumeSource(volume, path, node))
