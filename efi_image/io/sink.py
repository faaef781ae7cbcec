"""Where an image is written: front to back, with holes, and hashed on the way.

Small pieces are collected and written together. The kernel copies large files, and shares their
blocks where the file system can; their holes stay holes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from typing import Protocol

from efi_image.errors import OutputError
from efi_image.io.holes import data_extents
from efi_image.io.source import CHUNK, SMALL, BytesSource, FileSource, Source

_ZEROS = bytes(CHUNK)
_GAP = 4096  # bytes; no file system has shorter holes
_PIECE = 1 << 24  # bytes that the kernel copies between two reports of progress
_CANNOT_COPY = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)


def _is_zero(view: memoryview) -> bool:
    if not view or view[0] or view[-1]:
        return not view
    return all(
        view[start : start + CHUNK] == _ZEROS[: len(view) - start]
        for start in range(0, len(view), CHUNK)
    )


class Watcher(Protocol):
    """Sees all data of an image while it is written."""

    def data(self, position: int, view: memoryview) -> None:
        """Data is at that byte; everything else is zeros."""


class Sink:
    """A new file; skipped bytes and zeros become holes. All methods raise OutputError, and
    BrokenPipeError if the reader of a stream is gone.

    `progress` is told how many more bytes of sources were copied.
    """

    def __init__(
        self, descriptor: int, name: str, *, digest: bool = True, watcher: Watcher | None = None
    ) -> None:
        self._descriptor = descriptor
        self._name = name
        self._digest = hashlib.sha256() if digest else None
        self._watcher = watcher
        self._buffer = memoryview(bytearray(CHUNK))
        self._used = 0
        self.position = 0
        self.sha256 = ""  # in hexadecimal, after `finish` and with digests
        self.progress: Callable[[int], None] | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write the next bytes."""
        view = memoryview(data)
        if len(view) <= SMALL:
            self._room(len(view))[:] = view
            return
        self._flush()
        self._put(view)

    def skip(self, count: int) -> None:
        """Leave a hole of so many bytes."""
        if self._used and count < _GAP:
            self._room(count)[:] = _ZEROS[:count]
            return
        self._flush()
        self._leave(count)

    def skip_to(self, position: int) -> None:
        """Leave a hole up to that position; raises ValueError if it is behind it already."""
        if position < self.position:
            raise ValueError(f"cannot go back from {self.position} to {position}")
        self.skip(position - self.position)

    def copy(self, source: Source) -> str:
        """Write all bytes of a source; its SHA-256 in hexadecimal, or '' without digests."""
        if isinstance(source, BytesSource) and not self._digest:
            self.write(source.data)
            self._tell(source.size)
            return ""
        if isinstance(source, FileSource) and not (self._digest or self._watcher):
            if source.size <= SMALL:
                source.read_into(self._room(source.size))
                self._tell(source.size)
            else:
                self._flush()
                self._copy_file(source)
            return ""
        digest = hashlib.sha256() if self._digest else None
        for chunk in source.chunks():
            if digest:
                digest.update(chunk)
            self.write(chunk)
            self._tell(len(chunk))
        return digest.hexdigest() if digest else ""

    def finish(self) -> str:
        """Give the file its length; its SHA-256 (also in `sha256`) in hexadecimal, or ''."""
        self._flush()
        try:
            self._end()
        except OSError as error:
            raise self._failed(error) from None
        if self._digest:
            self.sha256 = self._digest.hexdigest()
        return self.sha256

    # ---- the buffer

    def _room(self, count: int) -> memoryview:
        """So many bytes of the buffer (at most CHUNK), which the caller fills."""
        if count > CHUNK - self._used:
            self._flush()
        start = self._used
        self._used += count
        self.position += count
        return self._buffer[start : self._used]

    def _flush(self) -> None:
        view = self._buffer[: self._used]
        self._used = 0
        self.position -= len(view)
        self._put(view)

    def _put(self, view: memoryview) -> None:
        """Write at the position, and advance it."""
        if _is_zero(view):
            self._leave(len(view))
            return
        if self._digest:
            self._digest.update(view)
        if self._watcher:
            self._watcher.data(self.position, view)
        self._write(view, self.position)
        self.position += len(view)

    def _leave(self, count: int) -> None:
        """Leave a hole at the position, and advance it."""
        if self._digest:
            for left in range(count, 0, -CHUNK):
                self._digest.update(_ZEROS if left >= CHUNK else _ZEROS[:left])
        try:
            self._hole(count)
        except OSError as error:
            raise self._failed(error) from None
        self.position += count

    def _write(self, view: memoryview, position: int) -> None:
        try:
            self._write_at(view, position)
        except OSError as error:
            raise self._failed(error) from None

    def _tell(self, count: int) -> None:
        if self.progress:
            self.progress(count)

    def _failed(self, error: OSError) -> OutputError:
        if isinstance(error, BrokenPipeError):
            raise error
        return OutputError(f"cannot be written: {error.strerror}", where=self._name)

    # ---- what a stream does differently

    def _write_at(self, view: memoryview, position: int) -> None:
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], position + done)

    def _hole(self, count: int) -> None:
        pass

    def _end(self) -> None:
        os.ftruncate(self._descriptor, self.position)

    # ---- files

    def _copy_file(self, source: FileSource) -> None:
        descriptor = source.descriptor()
        try:
            self._copy_data(source, descriptor)
        finally:
            os.close(descriptor)

    def _copy_data(self, source: FileSource, descriptor: int) -> None:
        """Copy a file with its holes to the position, and advance it."""
        done = 0
        for start, end in data_extents(descriptor, 0, source.size):
            self._leave(start - done)
            self._tell(start - done)
            self._copy_extent(source, descriptor, start, end)
            done = end
        self._leave(source.size - done)
        self._tell(source.size - done)
        if os.fstat(descriptor).st_size < source.size:
            raise source.shorter()

    def _copy_extent(self, source: FileSource, descriptor: int, start: int, end: int) -> None:
        # in one call if nobody watches: pieces take longer while much waits for the disk
        piece = _PIECE if self.progress else end
        while start < end:
            count = self._copy_range(descriptor, start, min(end - start, piece))
            if not count:
                count = min(end - start, CHUNK)
                view = self._buffer[:count]
                source.fill(descriptor, view, start)
                self._write(view, self.position)
            self.position += count
            start += count
            self._tell(count)

    def _copy_range(self, descriptor: int, offset: int, count: int) -> int:
        """How many bytes the kernel copied; 0 if it cannot between these two files."""
        if not hasattr(os, "copy_file_range") or self._descriptor < 0:
            return 0
        try:
            return os.copy_file_range(descriptor, self._descriptor, count, offset, self.position)
        except OSError as error:
            if error.errno in _CANNOT_COPY:
                return 0
            raise self._failed(error) from None


class StreamSink(Sink):
    """A stream, such as a pipe or a compressor, where holes are zeros.

    `put` writes all bytes that it is given, or raises OSError.
    """

    def __init__(
        self,
        put: Callable[[memoryview], object],
        name: str,
        *,
        digest: bool = True,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(-1, name, digest=digest, watcher=watcher)
        self._write_all = put

    def _write_at(self, view: memoryview, position: int) -> None:
        self._write_all(view)

    def _hole(self, count: int) -> None:
        zeros = memoryview(_ZEROS)
        for left in range(count, 0, -len(_ZEROS)):
            self._write_all(zeros[:left])

    def _end(self) -> None:
        pass
