"""The bytes of an image, read in any order and never past its end."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import InputError
from efi_image.io.source import unreadable

MAX_READ = 64 << 20  # bytes of one read
CHUNK = 1 << 20
_BLKSSZGET = 0x1268  # <linux/fs.h>


@dataclass(frozen=True, slots=True)
class Medium:
    """`size` bytes of an open file from byte `start`; `name` is for messages.

    All methods raise InputError if bytes cannot be read, or are beyond the end.
    """

    descriptor: int
    name: str
    start: int
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Exactly that many bytes, at most MAX_READ."""
        if not 0 <= size <= MAX_READ:
            raise InputError(f"{size} bytes are too many for one read", where=self.name)
        self._check(offset, size)
        try:
            data = os.pread(self.descriptor, size, self.start + offset)
            while len(data) < size:
                more = os.pread(self.descriptor, size - len(data), self.start + offset + len(data))
                if not more:
                    raise InputError("became shorter while it was read", where=self.name)
                data += more
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(
                f"cannot be read at byte {offset}: {reason}", where=self.name
            ) from None
        return data

    def peek(self, offset: int, size: int) -> bytes:
        """Up to that many bytes; fewer at the end."""
        if not 0 <= offset < self.size:
            return b""
        return self.read(offset, min(size, self.size - offset))

    def chunks(self, offset: int, size: int) -> Iterator[bytes]:
        """That many bytes, in pieces; their place is checked before the first."""
        self._check(offset, size)
        for done in range(0, size, CHUNK):
            yield self.read(offset + done, min(CHUNK, size - done))

    def view(self, offset: int, size: int, name: str = "") -> Medium:
        """A part of it."""
        self._check(offset, size)
        return Medium(self.descriptor, name or self.name, self.start + offset, size)

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise InputError(
                f"ends at byte {self.size}; bytes {offset} to {offset + size} are wanted",
                where=self.name,
            )


def _size(descriptor: int, name: str) -> int:
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        what = "a directory" if stat.S_ISDIR(mode) else "neither a file nor a block device"
        raise InputError(f"is {what}", where=name)
    return os.lseek(descriptor, 0, os.SEEK_END)


def sector_size_of(medium: Medium) -> int | None:
    """The logical sector size of a block device in bytes; None for a file."""
    if not stat.S_ISBLK(os.fstat(medium.descriptor).st_mode):
        return None
    import fcntl  # noqa: PLC0415

    try:
        answer = fcntl.ioctl(medium.descriptor, _BLKSSZGET, bytes(4))
    except OSError:
        return None
    return int.from_bytes(answer, sys.byteorder)


@contextmanager
def open_raw(path: str | Path) -> Iterator[Medium]:
    """The file or device at that path, as it is; raises InputError."""
    name = os.fspath(path)
    try:
        # a FIFO would wait for a writer
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from None
    try:
        try:
            size = _size(descriptor, name)
        except OSError as error:
            raise unreadable(name, error) from None
        yield Medium(descriptor, name, 0, size)
    finally:
        os.close(descriptor)
