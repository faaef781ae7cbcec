"""Recognizes files that were given by mistake, so that messages can name them."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from shlex import quote

# (offset, count) → the bytes, fewer at the end of the file
Peek = Callable[[int, int], bytes]

TEXT_SIZE, MIN_TEXT = 512, 8  # bytes that tell a text


class FileKind(Enum):
    """The kinds; the value follows `is`."""

    KERNEL = "a Linux kernel"
    PROGRAM = "a PE file"
    CPIO = "an initrd or another cpio archive"
    SYMBOLS = "a list of a kernel's symbols (System.map)"
    DEBIAN = "a Debian package"
    RPM = "an RPM package"
    ELF = "an ELF file"
    TAR = "a tar archive"
    SEVEN_ZIP = "a 7-Zip archive"
    RAR = "a RAR archive"
    PDF = "a PDF"
    SIGNATURE = "a signature or key of OpenPGP"
    HTML = "a web page"
    TEXT = "a text file"


_MAGICS = (
    (0x202, b"HdrS", FileKind.KERNEL),  # x86: Documentation/arch/x86/boot.rst
    (0x38, b"ARM\x64", FileKind.KERNEL),
    (0x38, b"RSC\x05", FileKind.KERNEL),
    (0, b"070701", FileKind.CPIO),
    (0, b"070702", FileKind.CPIO),
    (0, b"070707", FileKind.CPIO),
    (0, b"!<arch>\ndebian-binary", FileKind.DEBIAN),
    (0, b"\xed\xab\xee\xdb", FileKind.RPM),
    (0, b"\x7fELF", FileKind.ELF),
    (257, b"ustar", FileKind.TAR),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind.SEVEN_ZIP),
    (0, b"Rar!\x1a\x07", FileKind.RAR),
    (0, b"%PDF-", FileKind.PDF),
    (0, b"-----BEGIN PGP", FileKind.SIGNATURE),
)
_SYMBOL = re.compile(rb"[0-9a-f]{8,16} [A-Za-z] \S+\n")
_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.I)


def kind_of(peek: Peek) -> FileKind | None:
    """The kind of a file; None for images, and for what is unknown."""
    for offset, magic, kind in _MAGICS:
        if peek(offset, len(magic)) == magic:
            return kind
    if peek(0, 2) == b"MZ":
        at = int.from_bytes(peek(0x3C, 4), "little")
        return FileKind.PROGRAM if peek(at, 4) == b"PE\0\0" else None
    return _text_kind(peek(0, TEXT_SIZE))


def _text_kind(head: bytes) -> FileKind | None:
    if len(head) < MIN_TEXT or any(byte < 0x20 and byte not in b"\t\n\f\r" for byte in head):
        return None
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just cut off within a character
            return None
    if _SYMBOL.match(head):
        return FileKind.SYMBOLS
    return FileKind.HTML if _HTML.match(head) else FileKind.TEXT


def image_hint(kind: FileKind | None, name: str) -> str:
    """The command that makes an image of such a file, '' if there is none."""
    if kind is FileKind.KERNEL:
        return f"make one with `zpp-image make --kernel {quote(name)}`"
    if kind is FileKind.PROGRAM:
        return f"make one with `zpp-image make --hypervisor none --boot {quote(name)}`"
    return ""


def kernel_hint(kind: FileKind | None, name: str) -> str:
    """What to give in place of such a file where a kernel or an EFI program is wanted."""
    match kind:
        case FileKind.DEBIAN:
            return f"unpack it: `dpkg -x {quote(name)} DIR`; the kernel is in DIR/boot"
        case FileKind.RPM:
            return "unpack it; the kernel is below lib/modules"
        case FileKind.CPIO:
            return "give it with --initrd, beside a --kernel"
        case FileKind.SYMBOLS:
            return "the kernel is beside it, and its name begins with vmlinuz"
        case FileKind.ELF:
            return "the kernel that boots is arch/x86/boot/bzImage, not vmlinux"
    return ""
