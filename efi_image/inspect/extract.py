"""Extracts files of an image to a directory of this machine, and writes nothing outside it.

Every directory is opened relative to its parent without following links. A file gets its name
only when all its bytes are written.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from efi_image.errors import InputError, OutputError, UsageError
from efi_image.formats import files
from efi_image.formats.files import FileSystem, Kind, Node, show_path, walk
from efi_image.progress import Progress, counter

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OVERLAP = 8  # limit, in sizes of the image: hard links of an ISO become files
_Tell = Callable[[int], object]
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Extraction:
    """The number of files and bytes extracted; the names `skipped` with the reason, and links."""

    files: int = 0
    size: int = 0
    skipped: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def fault_of(name: str) -> str:
    """Why a name of an image is not a safe file name on this machine; '' if it is."""
    if name in ("", ".", ".."):
        return "is not a file name"
    if "/" in name or "\0" in name:
        return "contains a separator"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in name):
        return "contains control characters"
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return "is too long" if len(encoded) > 255 else ""


class _Folders:
    """Directories below `root`, created where missing; the last one stays open."""

    def __init__(self, root: int, target: str) -> None:
        self._root = root
        self._target = target
        self._path: files.FilePath = ()
        self._open = os.dup(root)

    def close(self) -> None:
        """Close the directory that is open."""
        os.close(self._open)

    def enter(self, path: files.FilePath) -> int:
        """A descriptor of the directory, valid until the next call; raises OutputError."""
        if path == self._path:
            return self._open
        where = f"{self._target}: {show_path(path)}"
        here = os.dup(self._root)
        try:
            for name in path:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=here)
                below = os.open(name, _DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
        except OSError as error:
            os.close(here)
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                what = "a link or a file is in the place of a directory"
                raise OutputError(what, where=where) from None
            raise _failed(where, error) from None
        os.close(self._open)
        self._path, self._open = path, here
        return here


def _failed(where: str, error: OSError) -> OutputError:
    return OutputError(f"cannot be written: {error.strerror}", where=where)


def _write(folder: int, name: str, volume: FileSystem, node: Node, tell: _Tell) -> None:
    """Write a file under a temporary name, then rename it."""
    temporary = f".{secrets.token_hex(8)}.tmp"
    descriptor = os.open(temporary, _NEW_FILE, 0o666, dir_fd=folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123
            for piece in volume.chunks(node):
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
                tell(len(piece))
            if node.modified:
                os.utime(descriptor, (_timestamp(node.modified),) * 2)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _timestamp(moment: datetime) -> float:
    """Seconds since 1970; a date without a time zone counts as UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class _Extractor:
    """Extracts from one volume; adds to `done`."""

    volume: FileSystem
    folders: _Folders
    target: str
    replace: bool
    own: os.stat_result | None
    done: Extraction
    tell: _Tell

    def add(self, path: files.FilePath, node: Node) -> None:
        """Extract a file, or a directory with everything below it, under its last name."""
        self._one(path[-1:], node)
        if node.kind is not Kind.DIRECTORY:
            return
        for below, child in walk(self.volume, node, faults=self.done.skipped):
            self._one((*path[-1:], *below), child)

    def _one(self, path: files.FilePath, node: Node) -> None:
        where = show_path(path)
        fault = next((fault for name in path if (fault := fault_of(name))), "")
        if node.kind is Kind.LINK:
            self.done.links.append(where)
            return
        if fault:
            self.done.skipped.append(f"{where}: {fault}")
            return
        if node.kind is Kind.DIRECTORY:
            self.folders.enter(path)
            return
        try:
            self._file(path, node)
        except InputError as error:
            self.done.skipped.append(str(error))

    def _file(self, path: files.FilePath, node: Node) -> None:
        where = f"{self.target}: {show_path(path)}"
        if self.done.size + node.size > OVERLAP * self.volume.medium.size:
            raise InputError(
                "was not extracted, because too many files overlap", where=show_path(path)
            )
        folder = self.folders.enter(path[:-1])
        try:
            found = _status(folder, path[-1])
            if found and self.own and os.path.samestat(found, self.own):
                raise InputError("is the image itself", where=where, hint="choose another folder")
            if found and not self.replace:
                raise InputError("already exists", where=where, hint="replace it with --force")
            _write(folder, path[-1], self.volume, node, self.tell)
        except OSError as error:
            raise _failed(where, error) from None
        self.done.files += 1
        self.done.size += node.size


def _bytes(volume: FileSystem, node: Node) -> int:
    """The bytes of a file, or of all files of a directory."""
    if node.kind is not Kind.DIRECTORY:
        return node.size
    below = walk(volume, node, faults=[])  # extracting reports them
    return sum(child.size for _, child in below if child.kind is Kind.FILE)


def extract(
    volume: FileSystem,
    paths: list[files.FilePath],
    target: Path,
    *,
    replace: bool = False,
    image: Path | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Extract files and directories (the whole volume if `paths` is empty) below `target`.

    Creates `target` if it does not exist. Skips links, and what cannot be read, has an unsafe
    name or already exists (unless `replace`), and never replaces `image`. `progress` gets the
    bytes written. Raises InputError for a path that does not exist, UsageError for two paths with
    the same last name, OutputError if `target` cannot be written.
    """
    chosen = [files.find(volume, path) for path in paths or [()]]
    names = [path[-1] for path, _ in chosen if path]
    if len(set(names)) != len(names):
        raise UsageError(
            "two of the paths have the same last name", hint="extract them one at a time"
        )
    try:
        target.mkdir(exist_ok=True)
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileExistsError:
        raise OutputError("is not a directory", where=str(target)) from None
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=str(target)) from None
    folders = _Folders(root, str(target))
    try:
        total = sum(_bytes(volume, node) for _, node in chosen) if progress else 0
        tell = counter(progress, total) or (lambda _count: None)
        own = image.stat() if image else None
        extractor = _Extractor(volume, folders, str(target), replace, own, Extraction(), tell)
        for path, node in chosen:
            extractor.add(path, node)
        return extractor.done
    finally:
        folders.close()
        os.close(root)
