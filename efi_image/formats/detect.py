"""Opens an image of any format as the raw disk that it stands for.

Compressed streams and virtual disks are unpacked into a temporary file with holes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from efi_image.errors import InputError
from efi_image.formats.compressed import Compression
from efi_image.formats.decompress import open_decompressed
from efi_image.formats.virtual_disk import DiskFormat, open_virtual_disk, without_footer
from efi_image.io.medium import Medium, open_raw

HEAD = 512  # bytes that tell a format


def is_raw(head: bytes) -> bool:
    """Whether an image with these first HEAD bytes is neither compressed nor a virtual disk."""
    return Compression.of(head) is None and DiskFormat.of(head) is None


@contextmanager
def open_medium(path: str | Path) -> Iterator[Medium]:
    """The disk in a file or device of any known format; raises InputError or MissingError."""
    with ExitStack() as stack:
        medium = stack.enter_context(open_raw(path))
        compression = Compression.of(medium.peek(0, HEAD))
        if compression:
            medium = stack.enter_context(open_decompressed(medium, compression))
        if not medium.size:
            raise InputError("is empty", where=medium.name)
        form = DiskFormat.of(medium.peek(0, HEAD))
        if form:
            yield stack.enter_context(open_virtual_disk(medium, form))
        else:
            yield without_footer(medium)
