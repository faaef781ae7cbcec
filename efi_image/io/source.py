"""Where the bytes of a file on an image come from: a file on this machine, or memory.

A source is looked at when the image is planned, and read once, when the image is written.
It may not change in between.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from efi_image.errors import InputError

CHUNK = 1 << 18  # bytes; what the caches of a CPU hold
SMALL = CHUNK // 4  # files up to this size are gathered, and written together
KEPT = 1 << 23  # bytes of small files that are read when they are looked at


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

    def read_at(self, offset: int, count: int) -> bytes:
        """So many bytes from that offset on; fewer at the end."""


class BytesSource:
    """Bytes in memory."""

    __slots__ = ("data", "name", "size")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.size = len(data)

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces."""
        view = memoryview(self.data)
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]

    def read_at(self, offset: int, count: int) -> bytes:
        """So many bytes from that offset on; fewer at the end."""
        return self.data[offset : offset + count]


_Identity = tuple[int, int, int, int]


class FileSource:
    """A regular file; made by `open`, which checks that it is one."""

    __slots__ = ("identity", "name", "size")

    def __init__(self, name: str, identity: _Identity) -> None:
        self.name = name
        self.identity = identity
        self.size = identity[2]  # bytes

    @classmethod
    def open(cls, path: str | Path) -> FileSource:
        """The file at that path; raises InputError if it is no readable regular file."""
        name = os.fspath(path)
        try:
            status = os.stat(name)  # noqa: PTH116 - a Path for each of many files takes longer
        except (OSError, ValueError) as error:
            raise unreadable(name, error) from None
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"is {kind}", where=name)
        identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        return cls(name, identity)

    def descriptor(self) -> int:
        """The file, opened for reading; raises InputError if it changed since `open`."""
        try:
            descriptor = os.open(self.name, os.O_RDONLY)
            status = os.fstat(descriptor)
            found = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
            if found == self.identity:
                return descriptor
        except OSError as error:
            raise unreadable(self.name, error) from None
        os.close(descriptor)
        raise InputError("changed while it was used", where=self.name)

    def fill(self, descriptor: int, view: memoryview, offset: int) -> None:
        """Fill the view with the bytes from that offset on; raises InputError if they are few."""
        left = len(view)
        try:
            while left:
                count = os.preadv(descriptor, (view,), offset)
                if not count:
                    raise self.shorter()
                left -= count
                if left:
                    view, offset = view[count:], offset + count
        except OSError as error:
            raise unreadable(self.name, error) from None

    def shorter(self) -> InputError:
        """The fault of a file that lost bytes since `open`."""
        return InputError("became shorter while it was used", where=self.name)

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces; raises InputError if the file changed since `open`."""
        buffer = memoryview(bytearray(min(self.size, CHUNK)))
        descriptor = self.descriptor()
        try:
            for offset in range(0, self.size, CHUNK):
                view = buffer[: min(self.size - offset, CHUNK)]
                self.fill(descriptor, view, offset)
                yield view
        finally:
            os.close(descriptor)

    def read_at(self, offset: int, count: int) -> bytes:
        """So many bytes from that offset on; fewer at the end."""
        buffer = bytearray(max(0, min(count, self.size - offset)))
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def read_into(self, view: memoryview, offset: int = 0) -> None:
        """Fill the view with the bytes from that offset on; raises InputError, as `fill`."""
        descriptor = self.descriptor()
        try:
            # a call of `fill` for each of many files would take as long as their `fstat`
            if os.preadv(descriptor, (view,), offset) != len(view):
                self.fill(descriptor, view, offset)
        except OSError as error:
            raise unreadable(self.name, error) from None
        finally:
            os.close(descriptor)


class Reader:
    """Looks at files, and reads what is small at once: that takes one system call less.

    It keeps KEPT bytes at most; the files beyond are read when the image is written.
    """

    def __init__(self, room: int = KEPT) -> None:
        self._room = room

    def source(self, name: str) -> FileSource | BytesSource:
        """A file that a directory lists as a regular one; raises InputError as FileSource.open."""
        if self._room < SMALL:
            return FileSource.open(name)
        try:
            # should it be a FIFO by now, nobody waits for its other end
            descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
            try:
                data = os.read(descriptor, SMALL + 1)
                while len(data) <= SMALL and (more := os.read(descriptor, SMALL + 1 - len(data))):
                    data += more  # some file systems give less than there is
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unreadable(name, error) from None
        size = len(data)
        if size > SMALL:
            return FileSource.open(name)
        self._room -= size
        return BytesSource(name, data)


def unreadable(name: str, error: OSError | ValueError) -> InputError:
    """The error to raise for a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return InputError("does not exist", where=name)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return InputError(f"cannot be read: {reason}", where=name)
