"""Where an image is written to: forwards only, with holes, and a digest on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Protocol

from efi_image.errors import OutputError

_ZEROS = bytes(1 << 20)


def _is_zero(view: memoryview) -> bool:
    if not view or view[0] or view[-1]:
        return not view
    return bytes(view) == _ZEROS[: len(view)]


class Watcher(Protocol):
    """Is told of all data of an image."""

    def data(self, position: int, view: memoryview) -> None:
        """Data is at that position."""


class Sink:
    """A file descriptor at its beginning; what is skipped or all zeros becomes a hole."""

    def __init__(
        self, descriptor: int, name: str, *, digest: bool = True, watcher: Watcher | None = None
    ) -> None:
        self._descriptor = descriptor
        self._name = name
        self._digest = hashlib.sha256() if digest else None
        self._watcher = watcher
        self.position = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write the next bytes."""
        view = memoryview(data)
        if _is_zero(view):
            self.skip(len(view))
            return
        if self._digest:
            self._digest.update(view)
        if self._watcher:
            self._watcher.data(self.position, view)
        try:
            self._put(view)
        except OSError as error:
            raise self._failed(error) from None
        self.position += len(view)

    def skip(self, count: int) -> None:
        """Leave a hole of so many bytes."""
        if self._digest:
            for left in range(count, 0, -len(_ZEROS)):
                self._digest.update(_ZEROS if left >= len(_ZEROS) else _ZEROS[:left])
        try:
            self._hole(count)
        except OSError as error:
            raise self._failed(error) from None
        self.position += count

    def skip_to(self, position: int) -> None:
        """Leave a hole up to that position, which is not behind the current one."""
        if position < self.position:
            raise ValueError(f"cannot go back from {self.position} to {position}")
        self.skip(position - self.position)

    def finish(self) -> str:
        """Give the file its length; the SHA-256 of it all in hexadecimal, or ''."""
        try:
            self._end()
        except OSError as error:
            raise self._failed(error) from None
        return self._digest.hexdigest() if self._digest else ""

    def _put(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], self.position + done)

    def _hole(self, count: int) -> None:
        pass

    def _end(self) -> None:
        os.ftruncate(self._descriptor, self.position)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot be written: {error.strerror}", where=self._name)


class StreamSink(Sink):
    """A stream, such as a pipe or a compressor; holes are zeros in it.

    `put` writes all that it is given, or raises OSError.
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

    def _put(self, view: memoryview) -> None:
        self._write_all(view)

    def _hole(self, count: int) -> None:
        zeros = memoryview(_ZEROS)
        for left in range(count, 0, -len(_ZEROS)):
            self._write_all(zeros[:left])

    def _end(self) -> None:
        pass
