"""The image file that is changed: a copy with the changes replaces it as a whole.

So a failure, a signal or a kill leaves it as it was, or complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from efi_image.errors import InputError, OutputError, UnsafeTarget
from efi_image.flash.destination import refuse_attached
from efi_image.formats.compressed import Compression
from efi_image.formats.detect import HEAD
from efi_image.formats.fat.changes import Changes
from efi_image.formats.virtual_disk import DiskFormat, without_footer
from efi_image.io.atomic import atomic, check_output
from efi_image.io.claims import lock
from efi_image.io.medium import Medium, open_raw
from efi_image.io.sink import Sink
from efi_image.io.source import FileSource
from efi_image.progress import Progress, counter

# how to make a raw image of one that is not
_UNPACK = {
    Compression.GZIP: "gzip -dk",
    Compression.XZ: "xz -dk",
    Compression.BZIP2: "bzip2 -dk",
    Compression.ZSTD: "zstd -dk",
    Compression.LZ4: "lz4 -dk",
    Compression.ZIP: "unzip",
}


class EditTarget(Protocol):
    """An image or a device that is open for a change.

    `reuse`: it is replaced as a whole, so new files may overwrite removed ones. `block` is the
    size of the smallest write in bytes.
    """

    @property
    def medium(self) -> Medium:
        """The disk as it is now."""

    @property
    def reuse(self) -> bool:
        """Whether it is replaced as a whole."""

    @property
    def block(self) -> int:
        """Bytes."""

    def commit(self, changes: Changes, progress: Progress | None) -> None:
        """Make the changes; raises ZppError, and then the image is as before."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A raw image file."""

    path: Path
    medium: Medium
    source: FileSource
    reuse: bool = True
    block: int = 512

    def commit(self, changes: Changes, progress: Progress | None) -> None:
        """Write a copy with the changes, which replaces the file."""
        with atomic(self.path) as descriptor:
            sink = Sink(descriptor, str(self.path), digest=False)
            sink.progress = counter(progress, self.source.size)
            sink.copy(self.source)
            sink.finish()
            try:
                for offset, data in changes.contents():
                    _write(descriptor, data, offset)
                for offset, data in (block for stage in changes.stages for block in stage):
                    _write(descriptor, data, offset)
                status = os.fstat(self.medium.descriptor)
                with suppress(OSError):  # only root can give a file away
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, status.st_mode & 0o7777)
                os.fsync(descriptor)
            except OSError as error:
                reason = f"cannot be written: {error.strerror}"
                raise OutputError(reason, where=str(self.path)) from None


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


@contextmanager
def open_image_file(path: str) -> Iterator[ImageFile]:
    """A raw image file, locked; raises InputError, OutputError, UnsafeTarget."""
    with open_raw(path) as medium:
        real = check_output(path)
        refuse_attached(path)
        _lock(medium, real)
        _require_raw(medium)
        yield ImageFile(real, without_footer(medium), FileSource.open(real))


def _lock(medium: Medium, path: Path) -> None:
    """Lock out other changes; raises UnsafeTarget if there is one."""
    if lock(medium.descriptor) and os.path.samestat(os.fstat(medium.descriptor), path.stat()):
        return
    raise UnsafeTarget("is being changed by another zpp-image", where=medium.name, hint="try again")


def _require_raw(medium: Medium) -> None:
    head = medium.peek(0, HEAD)
    compression, form = Compression.of(head), DiskFormat.of(head)
    if compression:
        raise InputError(
            f"is compressed ({compression.value}); only raw images can be changed",
            where=medium.name,
            hint=f"unpack it: `{_UNPACK[compression]} {medium.name}`",
        )
    if form:
        raise InputError(
            f"is a virtual disk ({form.name.lower()}); only raw images can be changed",
            where=medium.name,
            hint=f"convert it: `qemu-img convert -O raw {medium.name} disk.img`",
        )
