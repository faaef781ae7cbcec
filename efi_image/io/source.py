"""Where the bytes of a file on an image come from: a file on this machine, or memory.

A source is opened when the image is planned, and read when the image is written. It must not
change in between.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from efi_image.errors import InputError

CHUNK = 1 << 18  # bytes; fits into the caches of a CPU
SMALL = CHUNK // 4  # bytes; files up to this size are collected, and written together


class Source(Protocol):
    """The bytes of one file."""

    @property
    def name(self) -> str:
        """The name for messages."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces that are valid until the next is asked for."""

    def read_at(self, offset: int, count: int) -> bytes:
        """So many bytes from that offset; fewer at the end."""


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
        """So many bytes from that offset; fewer at the end."""
        return self.data[offset : offset + count]


_State = tuple[int, int, int, int]  # device, inode, size, modification time


def _state(status: os.stat_result) -> _State:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class FileSource:
    """A regular file, made by `open`. All methods raise InputError if it changed since then."""

    __slots__ = ("name", "size", "state")

    def __init__(self, name: str, state: _State) -> None:
        self.name = name
        self.state = state
        self.size = state[2]  # bytes

    @classmethod
    def open(cls, path: str | Path) -> FileSource:
        """The file at that path; raises InputError if it is not a readable regular file."""
        name = os.fspath(path)
        try:
            status = os.stat(name)  # noqa: PTH116 - a Path for each of many files takes longer
        except (OSError, ValueError) as error:
            raise unreadable(name, error) from None
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"is {kind}", where=name)
        source = cls(name, _state(status))
        if source.size == 0:
            source.check_empty()
        return source

    def is_same(self, status: os.stat_result) -> bool:
        """Whether that is the status of this file."""
        return self.state[:2] == (status.st_dev, status.st_ino)

    def check_empty(self) -> None:
        """Refuse content without a size, as files in /proc have: it would be left out silently."""
        descriptor = self.descriptor()
        try:
            data = os.read(descriptor, 1)
        except OSError as error:
            raise unreadable(self.name, error) from None
        finally:
            os.close(descriptor)
        if data:
            raise InputError(
                "has content but no size", where=self.name, hint="copy it to another file first"
            )

    def descriptor(self) -> int:
        """The file, opened for reading."""
        try:
            # a FIFO in its place would wait for a writer
            descriptor = os.open(self.name, os.O_RDONLY | os.O_NONBLOCK)
            if _state(os.fstat(descriptor)) == self.state:
                return descriptor
        except OSError as error:
            raise unreadable(self.name, error) from None
        os.close(descriptor)
        raise InputError("changed while it was used", where=self.name)

    def fill(self, descriptor: int, view: memoryview, offset: int) -> None:
        """Fill the view with the bytes from that offset."""
        try:
            while view:
                count = os.preadv(descriptor, (view,), offset)
                if not count:
                    raise self.shorter()
                view, offset = view[count:], offset + count
        except OSError as error:
            raise unreadable(self.name, error) from None

    def shorter(self) -> InputError:
        """The error for a file that lost bytes since `open`."""
        return InputError("became shorter while it was used", where=self.name)

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in pieces."""
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
        """So many bytes from that offset; fewer at the end."""
        buffer = bytearray(max(0, min(count, self.size - offset)))
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def read_into(self, view: memoryview, offset: int = 0) -> None:
        """Fill the view with the bytes from that offset."""
        descriptor = self.descriptor()
        try:
            self.fill(descriptor, view, offset)
        finally:
            os.close(descriptor)


def unreadable(name: str, error: OSError | ValueError) -> InputError:
    """The error to raise for a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return InputError("does not exist", where=name)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return InputError(f"cannot be read: {reason}", where=name)
