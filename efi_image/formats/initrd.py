"""Whether Linux can use a file as its initrd.

Linux unpacks cpio archives (init/initramfs.c), packed in the ways of lib/decompress.c, one after
the other and with zeros between; a file system becomes a RAM disk (init/do_mounts_rd.c). Whether a
kernel was built with all of that is not known here.
"""

from __future__ import annotations

from efi_image.formats.compressed import Compression
from efi_image.formats.file_kind import FileKind, Peek, kind_of
from efi_image.formats.magic import known_content

_ARCHIVES = (b"070701", b"070702")
# by the first two bytes, as the kernel tells them
_PACKED = (
    b"\x1f\x8b", b"\x1f\x9e", b"BZ", b"\x5d\0", b"\xfd\x37", b"\x89\x4c", b"\x02\x21", b"\x28\xb5",
)  # fmt: skip
_ZEROS = 1 << 16  # bytes at the beginning that may be zeros


def initrd_fault(peek: Peek, size: int) -> tuple[str, str]:
    """Why Linux cannot use a file as its initrd, and what to do; ('', '') if it may."""
    if not size:
        return "is empty", ""
    head = peek(0, _ZEROS).lstrip(b"\0")
    if head.startswith((*_ARCHIVES, *_PACKED)) or known_content(peek):
        return "", ""
    if Compression.of(head) is Compression.LZ4:
        return "has LZ4's new frame format, which Linux cannot read", "compress it with `lz4 -l`"
    kind = kind_of(peek)
    if kind is FileKind.CPIO:
        return "is a cpio archive of an old form, which Linux cannot read", "use `cpio -H newc`"
    what = kind.value if kind else "neither a cpio archive, compressed or not, nor a file system"
    return f"is {what}; Linux cannot use it as an initrd", ""
