"""Files that Linux takes as an initrd, and files that it cannot use."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import subprocess

import zstandard
from makepe import make_pe

# as `cpio -H newc` writes an empty archive
CPIO = b"070701" + b"0" * 88 + b"0000000B" + b"00000000" + b"TRAILER!!!\0\0\0\0"


def lz4(data: bytes, *options: str) -> bytes:
    return subprocess.run(["lz4", *options], input=data, capture_output=True, check=True).stdout


def _squashfs() -> bytes:
    return struct.pack("<4s92x", b"hsqs").ljust(4096, b"\0")


# what Linux takes, by its own two bytes of magic (lib/decompress.c)
INITRDS = {
    "newc": CPIO,
    "crc": b"070702" + CPIO[6:],
    "microcode first": CPIO + gzip.compress(CPIO),
    "zeros first": bytes(512) + CPIO,
    "gzip": gzip.compress(CPIO),
    "bzip2": bz2.compress(CPIO),
    "xz": lzma.compress(CPIO, check=lzma.CHECK_CRC32),
    "lzma": lzma.compress(CPIO, lzma.FORMAT_ALONE),
    "lzo": b"\x89LZO\0\r\n\x1a\n".ljust(4096, b"\1"),
    "zstd": zstandard.compress(CPIO),
    "a RAM disk": _squashfs(),
}

NO_INITRDS = {
    "text": (b"#!/bin/sh\n" * 99, "is a text file; Linux cannot use it as an initrd"),
    "PE": (make_pe(), "is a PE file; Linux cannot use it as an initrd"),
    "ELF": (b"\x7fELF\2\1\1" + bytes(999), "is an ELF file; Linux cannot use it as an initrd"),
    "random": (
        b"\x77" + os.urandom(9999),
        "is neither a cpio archive, compressed or not",
    ),
    "zeros": (bytes(9999), "is neither a cpio archive"),
    "empty": (b"", "is empty"),
    "odc": (b"070707" + CPIO[6:], "is a cpio archive of an old form, which Linux cannot read"),
}
