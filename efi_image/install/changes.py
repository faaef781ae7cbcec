"""Changes of files on a mounted volume: each durable, and undone if a later one fails.

At every moment a file has its old or its new content. FAT has no journal: only what was synced
before a rename is sure to be there after it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from efi_image.errors import DoesNotFitError, OutputError, ZppError, reason_of
from efi_image.io.deferred_signals import deferred_signals

NEW = ".zpp-new"  # the suffix of a file that is not complete yet


class Changes:
    """A series of changes; if the block fails, those that were made are undone."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is None:
            return
        with deferred_signals():
            for undo in reversed(self._undo):
                with suppress(OSError, ZppError):
                    undo()

    def later(self, undo: Callable[[], object]) -> None:
        """Call that if the block fails."""
        self._undo.append(undo)

    def make_folder(self, folder: Path) -> None:
        """Make a folder unless it exists."""
        if folder.is_dir():
            return
        try:
            folder.mkdir()
            _sync(folder.parent)
        except OSError as error:
            raise _failed(folder, error) from None
        self.later(folder.rmdir)

    def write(self, path: Path, data: bytes) -> None:
        """Give a file a new content."""
        old = path.read_bytes() if path.exists() else None
        self.later(lambda: remove(path) if old is None else _replace(path, old))
        _replace(path, data)


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + NEW)
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(path)
        _sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            new.unlink()
        if isinstance(error, OSError):
            raise _failed(path, error) from None
        raise


def remove(path: Path) -> None:
    """Remove a file, if it exists."""
    try:
        path.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise _failed(path, error) from None


def remove_folder(folder: Path) -> bool:
    """Remove a folder if it is empty; whether it is gone."""
    try:
        folder.rmdir()
        _sync(folder.parent)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        if error.errno != errno.ENOENT:
            raise _failed(folder, error) from None
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(path: Path, error: OSError) -> ZppError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DoesNotFitError("cannot be written: the ESP is full", where=str(path))
    return OutputError(f"cannot be written: {reason_of(error)}", where=str(path))
