"""Directories and files of a volume, before they have a place on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from efi_image.errors import DoesNotFitError, FatNameError
from efi_image.formats.fat.names import fold
from efi_image.formats.files import show_path
from efi_image.io.source import Source

MAX_FILE = 0xFFFFFFFF


class File:
    """A file; `first_cluster` is set when the volume is planned (0: no bytes).

    `sha256` is set when it is written, if digests are wanted.
    """

    __slots__ = ("first_cluster", "name", "sha256", "size", "source")

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.size = source.size
        self.first_cluster = 0
        self.sha256 = ""


class Directory:
    """A directory; its children are keyed by their names as `fold` gives them."""

    __slots__ = ("children", "first_cluster", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.children: dict[str, Directory | File] = {}
        self.first_cluster = 0

    def sorted(self) -> list[Directory | File]:
        """The children, in the order of the folded names."""
        children = self.children
        return [children[key] for key in sorted(children)]


class Tree:
    """The root directory and everything below it."""

    def __init__(self) -> None:
        self.root = Directory("")
        self._known: dict[tuple[str, ...], Directory] = {}

    def directory(self, path: Sequence[str]) -> Directory:
        """The directory at that path, made if it is not there."""
        known = tuple(path)
        found = self._known.get(known)
        if found is None:
            found = self._known[known] = self._find(path)
        return found

    def _find(self, path: Sequence[str]) -> Directory:
        here = self.root
        for depth, name in enumerate(path, 1):
            key = fold(name)
            child = here.children.get(key)
            if child is None:
                child = here.children[key] = Directory(name)
            if isinstance(child, File):
                raise FatNameError(
                    "is a file and a directory at once", where=show_path(path[:depth])
                )
            here = child
        return here

    def add(self, path: Sequence[str], source: Source) -> None:
        """Put a file at that path (checked names, as parse_path gives them).

        Raises DoesNotFitError if it is too large, FatNameError if something else is there.
        """
        if source.size > MAX_FILE:
            raise DoesNotFitError("is larger than 4 GiB - 1, FAT's limit", where=source.name)
        children = self.directory(path[:-1]).children
        name = path[-1]
        file = File(name, source)
        other = children.setdefault(fold(name), file)
        if other is not file:
            fault = (
                "differs only in case from another" if other.name != name else "is there already"
            )
            raise FatNameError(fault, where=show_path(path), hint=f"second file: {source.name}")

    def directories(self) -> Iterator[tuple[Directory, Directory]]:
        """Every directory with its parent, the root (its own parent) first."""
        waiting = [(self.root, self.root)]
        for directory, parent in waiting:
            yield directory, parent
            waiting.extend((c, directory) for c in directory.sorted() if isinstance(c, Directory))

    def files(self) -> Iterator[tuple[str, File]]:
        """Every file with its path as UEFI writes it, in the order they have on a volume."""
        waiting = [("\\", self.root)]
        for path, directory in waiting:
            for child in directory.sorted():
                if isinstance(child, Directory):
                    waiting.append((f"{path}{child.name}\\", child))
                else:
                    yield path + child.name, child
