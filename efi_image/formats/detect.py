"""Images that are packed or in a virtual machine's format, read as the disk they stand for.

What is not raw is unpacked into a temporary file without a name, with holes. What does that is
imported only then (efi_image.formats.compressed, efi_image.formats.virtual_disk).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from efi_image.errors import InputError
from efi_image.formats.compressed import unpacked
from efi_image.formats.virtual_disk import converted
from efi_image.io.medium import Medium, open_raw

VHD_FOOTER = 512
VHD_MAGIC = b"conectix"
VHD_FIXED = 2
QCOW2_MAGIC = b"QFI\xfb"

_STREAMS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def stream_of(head: bytes) -> str:
    """The packing that a file's first bytes tell of: gzip, xz, zstd or ''."""
    return next((name for magic, name in _STREAMS.items() if head.startswith(magic)), "")


def disk_format_of(head: bytes) -> str:
    """The format, as qemu-img calls it, that a file's first 512 bytes tell of, or ''."""
    magics = ((QCOW2_MAGIC, "qcow2"), (b"vhdxfile", "vhdx"), (b"KDMV", "vmdk"), (VHD_MAGIC, "vpc"))
    for magic, name in magics:
        if head.startswith(magic):
            return name
    return "vdi" if head[0x40:0x44] == b"\x7f\x10\xda\xbe" else ""


@contextmanager
def open_medium(path: str | Path) -> Iterator[Medium]:
    """The disk in a file or device of any known format; raises InputError or MissingError."""
    with open_raw(path) as medium:
        head = medium.peek(0, 512)
        stream = stream_of(head)
        if stream:
            with unpacked(medium, stream) as inner, _as_disk(inner, inner.peek(0, 512)) as disk:
                yield disk
        else:
            with _as_disk(medium, head) as disk:
                yield disk


@contextmanager
def _as_disk(medium: Medium, head: bytes) -> Iterator[Medium]:
    if not medium.size:
        raise InputError("is empty", where=medium.name)
    name = disk_format_of(head)
    if not name:
        yield _without_footer(medium)
        return

    with converted(medium, head, name) as disk:
        yield disk


def _without_footer(medium: Medium) -> Medium:
    """A fixed VHD is a raw image with a footer behind it."""
    footer = medium.peek(medium.size - VHD_FOOTER, VHD_FOOTER)
    if footer.startswith(VHD_MAGIC) and footer[60:64] == VHD_FIXED.to_bytes(4, "big"):
        return medium.view(0, medium.size - VHD_FOOTER)
    return medium
