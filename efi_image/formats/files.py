"""Files and directories of a volume of any format."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from efi_image.errors import InputError
from efi_image.io.medium import Medium

MAX_DEPTH = 128  # directories in a path
MAX_NODES = 1 << 18  # files and directories of a volume
MAX_SCANNED = 1 << 28  # bytes of all its directories


class Kind(Enum):
    """What a name is the name of."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Node:
    """A file or directory; `place` is the volume's own way to find its bytes.

    `size` is in bytes, `attributes` are letters as the volume's format has them, `alias` is a
    second name, and `target` the path in a link.
    """

    name: str
    kind: Kind
    size: int
    modified: datetime | None
    attributes: str
    place: Hashable
    alias: str = ""
    target: str = ""


FilePath = tuple[str, ...]


class FileSystem(Protocol):
    """A volume that is read."""

    @property
    def format(self) -> str:
        """The format, such as `FAT32` or `ISO 9660`."""

    @property
    def label(self) -> str:
        """The volume's name."""

    @property
    def unread(self) -> str:
        """The contents of the volume that are not read, with a remedy; '' if there are none."""

    @property
    def medium(self) -> Medium:
        """Where it is."""

    @property
    def scanned(self) -> int:
        """Bytes of directories read so far, however often."""

    @property
    def root(self) -> Node:
        """The root directory."""

    def children(self, directory: Node) -> Iterator[Node]:
        """The files and directories in a directory; raises InputError where it cannot be read."""

    def chunks(self, file: Node) -> Iterator[bytes]:
        """A file's bytes, in pieces; raises InputError where they cannot be read."""

    def same_name(self, one: str, other: str) -> bool:
        """Whether two names are the same to this format."""


def split_path(text: str) -> FilePath:
    """The names of a path with `\\` or `/` between them; raises InputError for `..`."""
    names = tuple(n for n in text.replace("\\", "/").split("/") if n not in ("", "."))
    if ".." in names:
        raise InputError("a path within an image cannot have '..'", where=text)
    return names


def show_path(path: Iterable[str]) -> str:
    """A path as UEFI writes it."""
    return "\\" + "\\".join(path)


def find(volume: FileSystem, path: FilePath) -> tuple[FilePath, Node]:
    """A file or directory with its path as the volume spells it; raises InputError."""
    here = volume.root
    real: FilePath = ()
    for name in path:
        if here.kind is not Kind.DIRECTORY:
            raise InputError("is not a directory", where=show_path(real))
        same = [
            child
            for child in volume.children(here)
            if volume.same_name(child.name, name)
            or (child.alias and volume.same_name(child.alias, name))
        ]
        if not same:
            raise InputError("does not exist", where=show_path((*real, name)), hint=volume.unread)
        here = next((child for child in same if child.name == name), same[0])
        real = (*real, here.name)
    return real, here


def walk(
    volume: FileSystem,
    top: Node | None = None,
    path: FilePath = (),
    faults: list[str] | None = None,
) -> Iterator[tuple[FilePath, Node]]:
    """Everything below a directory (by default the root), each directory before its children.

    A directory that is met a second time is shown, but not entered again. A directory that
    cannot be read is a line in `faults`, if given; else InputError is raised. It is also raised
    where the names do not come to an end.
    """
    guard = _Guard(volume, top or volume.root, path, faults)
    # many can wait, so little is kept of each
    waiting: deque[tuple[FilePath, str, Hashable]] = deque([(path, "", guard.start.place)])
    while waiting:
        above, name, place = waiting.popleft()
        above = (*above, name) if name else above
        for child in guard.children(above, place):
            yield (*above, child.name), child
            if guard.enters(above, child):
                waiting.append((above, child.name, child.place))


def descend(
    volume: FileSystem, top: Node | None = None, faults: list[str] | None = None
) -> Iterator[tuple[FilePath, Node, bool]]:
    """As `walk`, but each directory is followed by all that is below it.

    The third value says whether it is the last of its directory.
    """
    guard = _Guard(volume, top or volume.root, (), faults)
    stack: list[tuple[FilePath, Iterator[tuple[Node, bool]]]]
    stack = [((), _with_last(guard.children((), guard.start.place)))]
    while stack:
        above, children = stack[-1]
        child, is_last = next(children, (None, True))
        if child is None:
            stack.pop()
            continue
        here = (*above, child.name)
        yield here, child, is_last
        if guard.enters(above, child):
            stack.append((here, _with_last(guard.children(here, child.place))))


class _Guard:
    """Makes sure that a walk through a volume comes to an end; raises InputError."""

    def __init__(
        self, volume: FileSystem, start: Node, path: FilePath, faults: list[str] | None
    ) -> None:
        self.start = start
        self._volume = volume
        self._path = path
        self._faults = faults
        self._count = 0
        self._scanned = volume.scanned
        self._seen = {start.place}

    def children(self, path: FilePath, place: Hashable) -> Iterator[Node]:
        """The children of the directory at that place."""
        if self._volume.scanned - self._scanned > MAX_SCANNED:
            raise InputError("has directories without end", where=show_path(self._path))
        directory = Node("", Kind.DIRECTORY, 0, None, "", place)
        for child in _readable(self._volume, path, directory, self._faults):
            self._count += 1
            if self._count > MAX_NODES:
                raise InputError(f"has more than {MAX_NODES} names", where=show_path(self._path))
            yield child

    def enters(self, above: FilePath, child: Node) -> bool:
        """Whether that is a directory that was not met before."""
        if child.kind is not Kind.DIRECTORY or child.place in self._seen:
            return False
        if len(above) >= MAX_DEPTH:
            where = show_path((*above, child.name)[:3]) + "\\..."
            raise InputError(f"is deeper than {MAX_DEPTH} directories", where=where)
        self._seen.add(child.place)
        return True


def _readable(
    volume: FileSystem, path: FilePath, directory: Node, faults: list[str] | None
) -> Iterator[Node]:
    try:
        yield from volume.children(directory)
    except InputError as error:
        if faults is None:
            raise
        faults.append(f"{show_path(path)}: {error.what}")


def _with_last(nodes: Iterator[Node]) -> Iterator[tuple[Node, bool]]:
    """Each with whether it is the last."""
    before = next(nodes, None)
    while before is not None:
        following = next(nodes, None)
        yield before, following is None
        before = following
