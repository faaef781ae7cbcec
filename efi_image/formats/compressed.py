"""Formats of compressed images, and writing gzip, xz and zstd.

gzip: RFC 1952. xz: The .xz File Format 1.1. zstd: RFC 8878. LZ4: LZ4 Frame Format 1.6.2, and its
legacy frame. ZIP: APPNOTE 6.3.10. Reading is in decompress.py.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from io import FileIO
from typing import Any, Protocol

GZIP_LEVEL = 6
XZ_PRESET = 1  # fast, and 10 MiB of memory
ZSTD_LEVEL = 3


class Compression(Enum):
    """The formats; the value is the format's name."""

    GZIP = "gzip"
    XZ = "xz"
    BZIP2 = "bzip2"
    ZSTD = "zstd"
    LZ4 = "LZ4"
    ZIP = "ZIP"

    @classmethod
    def of(cls, head: bytes) -> Compression | None:
        """The format of a file with these first bytes; None if it is not compressed."""
        start = skippable_end(head)
        if start >= len(head) and start:
            return cls.ZSTD  # pzstd begins with such a frame
        magics = (
            (b"\x1f\x8b", cls.GZIP),
            (b"\xfd7zXZ\0", cls.XZ),
            (b"\x28\xb5\x2f\xfd", cls.ZSTD),
            (b"\x04\x22\x4d\x18", cls.LZ4),
            (b"\x02\x21\x4c\x18", cls.LZ4),
            (b"PK\3\4", cls.ZIP),
            (b"PK\5\6", cls.ZIP),
        )
        if head[:3] == b"BZh" and head[4:10] in _BZIP2_BLOCKS:
            return cls.BZIP2
        return next((form for magic, form in magics if head.startswith(magic, start)), None)


_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # a block, the end of an empty stream


def skippable_end(data: bytes, position: int = 0) -> int:
    """Where the skippable frames end that zstd and LZ4 may have at that position."""
    while data[position + 1 : position + 4] == b"\x2a\x4d\x18" and 0x50 <= data[position] <= 0x5F:
        position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
    return position


class Writable(Protocol):
    """A stream that takes all bytes that it is given."""

    def write(self, data: memoryview, /) -> object:
        """Write these bytes; raises OSError."""


class _Output(FileIO):
    """A file whose `write` takes all bytes; when it is broken, it drops them."""

    broken = False

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and not self.broken:
            done += super().write(view[done:]) or 0
        return len(view)


@contextmanager
def open_compressor(
    descriptor: int, compression: Compression | None, size: int
) -> Iterator[Writable]:
    """A stream of `size` bytes that is written to an open file, compressed if so wanted.

    It is complete when the block ends well, else nothing more is written. Raises OSError.
    """
    file = _Output(descriptor, "wb", closefd=False)
    if compression is None:
        yield file
        return
    stream = _compressor(file, compression, size)
    try:
        yield stream
        stream.close()
    except BaseException:
        file.broken = True
        with suppress(Exception):  # the first error counts
            stream.close()
        raise


def _compressor(file: Any, compression: Compression, size: int) -> Any:
    match compression:
        case Compression.GZIP:
            return gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)
        case Compression.XZ:
            return lzma.LZMAFile(file, "wb", preset=XZ_PRESET)
        case _:
            import zstandard  # noqa: PLC0415

            compressor = zstandard.ZstdCompressor(ZSTD_LEVEL, write_checksum=True)
            return compressor.stream_writer(file, size=size, closefd=False)
