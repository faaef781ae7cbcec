"""Where an image is written to: forwards only, with holes, and a digest on the way."""

from __future__ import annotations

import hashlib
import os

from efi_image.errors import OutputError

_ZEROS = bytes(1 << 20)


def _is_zero(view: memoryview) -> bool:
    if not view or view[0] or view[-1]:
        return not view
    return bytes(view) == _ZEROS[: len(view)]


class Sink:
    """A file descriptor at its beginning; what is skipped or all zeros becomes a hole."""

    def __init__(self, descriptor: int, name: str, *, digest: bool = True) -> None:
        self._descriptor = descriptor
        self._name = name
        self._digest = hashlib.sha256() if digest else None
        self.position = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write the next bytes."""
        view = memoryview(data)
        if _is_zero(view):
            self.skip(len(view))
            return
        if self._digest:
            self._digest.update(view)
        try:
            done = 0
            while done < len(view):
                done += os.pwrite(self._descriptor, view[done:], self.position + done)
        except OSError as error:
            raise self._failed(error) from None
        self.position += len(view)

    def skip(self, count: int) -> None:
        """Leave a hole of so many bytes."""
        if self._digest:
            for left in range(count, 0, -len(_ZEROS)):
                self._digest.update(_ZEROS if left >= len(_ZEROS) else _ZEROS[:left])
        self.position += count

    def skip_to(self, position: int) -> None:
        """Leave a hole up to that position, which is not behind the current one."""
        if position < self.position:
            raise ValueError(f"cannot go back from {self.position} to {position}")
        self.skip(position - self.position)

    def finish(self) -> str:
        """Give the file its length; the SHA-256 of it all in hexadecimal, or ''."""
        try:
            os.ftruncate(self._descriptor, self.position)
        except OSError as error:
            raise self._failed(error) from None
        return self._digest.hexdigest() if self._digest else ""

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot be written: {error.strerror}", where=self._name)
