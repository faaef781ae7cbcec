"""Files and directories of a volume, whatever its kind."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from efi_image.errors import InputError
from efi_image.reader.medium import Medium

MAX_DEPTH = 128  # directories in a path
MAX_NODES = 1 << 18  # files and directories of a volume
MAX_SCANNED = 1 << 28  # bytes of all its directories


class Kind(Enum):
    """What a name stands for."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Node:
    """A file or directory; `place` is the volume's own way to find its bytes.

    `attributes` are letters as the volume's format has them, `alias` a second name, and
    `target` where a link leads.
    """

    name: str
    kind: Kind
    size: int
    modified: datetime | None
    attributes: str
    place: Hashable
    alias: str = ""
    target: str = ""


Path = tuple[str, ...]


class FileSystem(Protocol):
    """A volume that is read."""

    @property
    def format(self) -> str:
        """Such as `FAT32` or `ISO 9660`."""

    @property
    def label(self) -> str:
        """The volume's name."""

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
        """What a directory holds; raises InputError where it cannot be read."""

    def chunks(self, file: Node) -> Iterator[bytes]:
        """A file's bytes, in pieces; raises InputError where they cannot be read."""

    def same_name(self, one: str, other: str) -> bool:
        """Whether two names stand for the same file."""


def split(text: str) -> Path:
    """The names of a path with `\\` or `/` between them; raises InputError for `..`."""
    names = tuple(n for n in text.replace("\\", "/").split("/") if n not in ("", "."))
    if ".." in names:
        raise InputError("a path within an image has no '..'", where=text)
    return names


def show(path: Path) -> str:
    """A path as UEFI writes it."""
    return "\\" + "\\".join(path)


def find(volume: FileSystem, path: Path) -> tuple[Path, Node]:
    """A file or directory with its path as it is on the volume; raises InputError."""
    here = volume.root
    real: Path = ()
    for name in path:
        if here.kind is not Kind.DIRECTORY:
            raise InputError("is no directory", where=show(real))
        same = [
            child
            for child in volume.children(here)
            if volume.same_name(child.name, name)
            or (child.alias and volume.same_name(child.alias, name))
        ]
        if not same:
            raise InputError("does not exist", where=show((*real, name)))
        here = next((child for child in same if child.name == name), same[0])
        real = (*real, here.name)
    return real, here


def walk(
    volume: FileSystem,
    top: Node | None = None,
    path: Path = (),
    faults: list[str] | None = None,
) -> Iterator[tuple[Path, Node]]:
    """All below a directory (the root), each directory before what it holds.

    A directory that is met a second time is shown, but not entered again. Where a directory
    cannot be read, that is told in `faults`, if given, else InputError is raised; it is also
    raised when there is no end of names.
    """
    start = top or volume.root
    waiting = deque([(path, start)])
    seen = {start.place}
    count, scanned = 0, volume.scanned
    while waiting:
        if volume.scanned - scanned > MAX_SCANNED:
            raise InputError("has directories without end", where=show(path))
        above, directory = waiting.popleft()
        for child in _children(volume, above, directory, faults):
            count += 1
            if count > MAX_NODES:
                raise InputError(f"holds more than {MAX_NODES} names", where=show(path))
            here = (*above, child.name)
            yield here, child
            if child.kind is Kind.DIRECTORY and child.place not in seen:
                if len(here) > MAX_DEPTH:
                    raise InputError(
                        f"lies deeper than {MAX_DEPTH} directories", where=show(here[:3]) + "\\..."
                    )
                seen.add(child.place)
                waiting.append((here, child))


def _children(
    volume: FileSystem, path: Path, directory: Node, faults: list[str] | None
) -> Iterator[Node]:
    try:
        yield from volume.children(directory)
    except InputError as error:
        if faults is None:
            raise
        faults.append(f"{show(path)}: {error.what}")
