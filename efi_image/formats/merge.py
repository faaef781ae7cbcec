"""The files of two volumes side by side, in the order of their paths, in little memory."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator

from efi_image.errors import InputError
from efi_image.formats.files import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_SCANNED,
    FilePath,
    FileSystem,
    Kind,
    Node,
)

BATCH = 1 << 15  # names of a directory that are in memory at once
SMALL_BATCH = 1 << 10  # at least, of directories further down: those above them wait in memory

Pair = tuple[Node | None, Node | None]


def side_by_side(old: FileSystem, new: FileSystem) -> Iterator[tuple[FilePath, Pair]]:
    """Every path with its node on the first volume, and on the second.

    A directory that cannot be read, or is met a second time, counts as empty; `walk` reports
    it. Raises InputError where a directory does not come to an end.
    """
    sides = _Side(old), _Side(new)
    stack: list[tuple[FilePath, Iterator[Pair]]]
    stack = [((), _merged(*(side.children(side.root, 0) for side in sides)))]
    left = 2 * MAX_NODES
    while stack and left:
        above, rows = stack[-1]
        pair = next(rows, None)
        if pair is None:
            stack.pop()
            continue
        left -= 1
        one, other = pair
        here = (*above, (one or other).name)  # type: ignore[union-attr]
        yield here, pair
        entered = [side.enters(node) for side, node in zip(sides, pair, strict=True)]
        if any(entered) and len(here) <= MAX_DEPTH:
            below = (
                side.children(node if enter else None, len(here))
                for side, node, enter in zip(sides, pair, entered, strict=True)
            )
            stack.append((here, _merged(*below)))


class _Side:
    """One of the volumes."""

    def __init__(self, volume: FileSystem) -> None:
        self.root = volume.root
        self._volume = volume
        self._scanned = volume.scanned
        self._seen: set[Hashable] = {self.root.place}

    def enters(self, node: Node | None) -> bool:
        """Whether that is a directory that was not met before."""
        if node is None or node.kind is not Kind.DIRECTORY or node.place in self._seen:
            return False
        self._seen.add(node.place)
        return True

    def children(self, directory: Node | None, depth: int) -> Iterator[Node]:
        """The children of a directory, by name; of two with one name, the last.

        The directory is read again for every batch of names.
        """
        size = max(BATCH >> max(depth - 1, 0), SMALL_BATCH)
        done = ""
        batch = [] if directory is None else self._batch(directory, done, size)
        while batch:
            for name, _, node in batch:
                if name > done:
                    yield node
                    done = name
            batch = self._batch(directory, done, size) if len(batch) == size else []

    def _batch(self, directory: Node | None, done: str, size: int) -> list[tuple[str, int, Node]]:
        """The first names behind `done`, with their negative number and what they are."""
        assert directory is not None
        if self._volume.scanned - self._scanned > 2 * MAX_SCANNED:
            raise InputError("has directories without end", where=self._volume.medium.name)
        rows = (
            (node.name, -number, node)
            for number, node in enumerate(self._readable(directory))
            if node.name > done
        )
        return heapq.nsmallest(size, rows)

    def _readable(self, directory: Node) -> Iterator[Node]:
        try:
            yield from self._volume.children(directory)
        except InputError:
            return  # `walk` reports it


def _merged(old: Iterator[Node], new: Iterator[Node]) -> Iterator[Pair]:
    """Two rows in the order of names, with the same names together."""
    one, other = next(old, None), next(new, None)
    while one or other:
        before = other is None or (one is not None and one.name < other.name)
        behind = one is None or (other is not None and other.name < one.name)
        yield None if behind else one, None if before else other
        one = one if behind else next(old, None)
        other = other if before else next(new, None)
