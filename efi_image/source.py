"""Where the bytes of a file on an image come from: a file on this machine, or memory.

A source is looked at twice: once for its digest, when the image is planned, and once for
its bytes, when it is written. It may not change in between.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from efi_image.errors import InputError

CHUNK = 1 << 20


class Source(Protocol):
    """The bytes of one file."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces that are valid until the next is asked for."""


@dataclass(frozen=True, slots=True)
class BytesSource:
    """Bytes in memory."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces."""
        view = memoryview(self.data)
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]


_Identity = tuple[int, int, int, int]


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class FileSource:
    """A regular file; made by `open`, which checks that it is one."""

    name: str
    identity: _Identity

    @classmethod
    def open(cls, path: str | Path) -> FileSource:
        """The file at that path; raises InputError if it is no readable regular file."""
        name = os.fspath(path)
        try:
            status = os.stat(name)  # noqa: PTH116
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from None
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"is {kind}", where=name)
        if not os.access(name, os.R_OK):
            raise InputError("cannot be read: Permission denied", where=name)
        return cls(name, _identity(status))

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.identity[2]

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces; raises InputError if the file changed since `open`."""
        buffer = memoryview(bytearray(min(self.size, CHUNK)))
        try:
            with open(self.name, "rb", buffering=0) as file:  # noqa: PTH123
                if _identity(os.fstat(file.fileno())) != self.identity:
                    raise InputError("changed while it was used", where=self.name)
                left = self.size
                while left:
                    count = file.readinto(buffer[: min(left, CHUNK)])
                    if not count:
                        raise InputError("became shorter while it was used", where=self.name)
                    left -= count
                    yield buffer[:count]
        except OSError as error:
            raise _unreadable(self.name, error) from None


def _unreadable(name: str, error: OSError | ValueError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    if isinstance(error, FileNotFoundError):
        return InputError("does not exist", where=name)
    return InputError(f"cannot be read: {reason}", where=name)


def sha256(source: Source) -> str:
    """The SHA-256 of a source, in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in source.chunks():
        digest.update(chunk)
    return digest.hexdigest()
