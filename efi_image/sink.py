"""Where an image is written to: forwards only, with holes, and digests on the way.

What is small is gathered and written at once; large files are copied by the kernel, which
shares their blocks where the file system can, and their holes stay holes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable

from efi_image.errors import OutputError
from efi_image.source import CHUNK, FileSource, Source

_ZEROS = bytes(CHUNK)
_SMALL = CHUNK // 4  # up to this size things are gathered
_PIECE = 1 << 24  # bytes that the kernel copies at a time
_CANNOT = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)


def _is_zero(view: memoryview) -> bool:
    if not view or view[0] or view[-1]:
        return not view
    return all(
        view[start : start + CHUNK] == _ZEROS[: len(view) - start]
        for start in range(0, len(view), CHUNK)
    )


class Sink:
    """A file descriptor at its beginning; what is skipped or all zeros becomes a hole.

    `progress` is told how many more bytes of sources were copied.
    """

    def __init__(
        self,
        descriptor: int,
        name: str,
        *,
        digest: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._name = name
        self._digest = hashlib.sha256() if digest else None
        self._progress = progress
        self._buffer = memoryview(bytearray(CHUNK))
        self._used = 0
        self.position = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write the next bytes."""
        view = memoryview(data)
        if len(view) <= _SMALL:
            self._room(len(view))[:] = view
            return
        self._flush()
        self._put(view)
        self.position += len(view)

    def skip(self, count: int) -> None:
        """Leave a hole of so many bytes; a short one after other bytes is filled."""
        if self._used and count <= CHUNK - self._used:
            self._room(count)[:] = _ZEROS[:count]
            return
        self._flush()
        self._digest_zeros(count)
        self.position += count

    def skip_to(self, position: int) -> None:
        """Leave a hole up to that position, which is not behind the current one."""
        if position < self.position:
            raise ValueError(f"cannot go back from {self.position} to {position}")
        self.skip(position - self.position)

    def copy(self, source: Source) -> str:
        """Write all bytes of a source; its SHA-256 in hexadecimal, or '' without digests."""
        if self._digest is None and isinstance(source, FileSource):
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
        """Give the file its length; the SHA-256 of it all in hexadecimal, or ''."""
        self._flush()
        try:
            os.ftruncate(self._descriptor, self.position)
        except OSError as error:
            raise self._failed(error) from None
        return self._digest.hexdigest() if self._digest else ""

    # ---- what is gathered

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
        self.position += len(view)

    def _put(self, view: memoryview) -> None:
        """Write at the position, which stays as it is."""
        if _is_zero(view):
            self._digest_zeros(len(view))
            return
        if self._digest:
            self._digest.update(view)
        self._write_at(view, self.position)

    def _write_at(self, view: memoryview, position: int) -> None:
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(self._descriptor, view[done:], position + done)
        except OSError as error:
            raise self._failed(error) from None

    def _digest_zeros(self, count: int) -> None:
        if self._digest:
            for left in range(count, 0, -CHUNK):
                self._digest.update(_ZEROS if left >= CHUNK else _ZEROS[:left])

    # ---- files

    def _copy_file(self, source: FileSource) -> None:
        descriptor = source.descriptor()
        try:
            if source.size <= _SMALL:
                source.fill(descriptor, self._room(source.size), 0)
                self._tell(source.size)
            else:
                self._flush()
                self._copy_data(source, descriptor)
                self.position += source.size
        finally:
            os.close(descriptor)

    def _copy_data(self, source: FileSource, descriptor: int) -> None:
        """Copy what is no hole to the position, which stays as it is."""
        by_kernel = hasattr(os, "copy_file_range")
        offset = 0
        while offset < source.size:
            start, end = _next_data(descriptor, offset, source.size)
            self._tell(start - offset)
            offset = start
            while offset < end:
                count = min(end - offset, _PIECE)
                if by_kernel:
                    count = self._copy_range(descriptor, offset, count)
                    by_kernel = count > 0
                else:
                    count = min(count, CHUNK)
                    view = self._buffer[:count]
                    source.fill(descriptor, view, offset)
                    self._write_at(view, self.position + offset)
                offset += count
                self._tell(count)
        if os.fstat(descriptor).st_size < source.size:
            raise source.shorter()

    def _copy_range(self, descriptor: int, offset: int, count: int) -> int:
        """How many bytes the kernel copied; 0 if it cannot between these two files."""
        try:
            return os.copy_file_range(
                descriptor, self._descriptor, count, offset, self.position + offset
            )
        except OSError as error:
            if error.errno in _CANNOT:
                return 0
            raise self._failed(error) from None

    def _tell(self, count: int) -> None:
        if self._progress:
            self._progress(count)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot be written: {error.strerror}", where=self._name)


def _next_data(descriptor: int, offset: int, size: int) -> tuple[int, int]:
    """Where the file's next bytes that are no hole begin and end; (size, size) if none do."""
    try:
        start = os.lseek(descriptor, offset, os.SEEK_DATA)
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size, size
        return offset, size
    return min(start, size), min(max(end, start), size)
