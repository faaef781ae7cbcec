"""Compressed streams: gzip (RFC 1952), xz (The .xz File Format 1.1), zstd (RFC 8878).

Python's modules read gzip and xz. zstd is read by its program, because the library bounds
neither the memory for a piece nor tells a stream that is cut short; it is written by the
library.
"""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import Enum
from io import FileIO
from typing import Any, Protocol

from efi_image.errors import InputError
from efi_image.io.medium import CHUNK, Medium
from efi_image.io.programs import find_program
from efi_image.io.sink import Sink

MAX_DECOMPRESSED = 64 << 30  # bytes of an image
MAX_XZ_MEMORY = 100 << 20  # bytes
GZIP_LEVEL = 6
XZ_PRESET = 1  # fast, and 10 MiB of memory
ZSTD_LEVEL = 3


class Compression(Enum):
    """The formats of compressed streams; the value is the first bytes of a stream."""

    GZIP = b"\x1f\x8b"
    XZ = b"\xfd7zXZ\0"
    ZSTD = b"\x28\xb5\x2f\xfd"

    @classmethod
    def of(cls, head: bytes) -> Compression | None:
        """The format of a file with these first bytes; None if it is not compressed."""
        return next((each for each in cls if head.startswith(each.value)), None)


# ---- reading

_Tell = Callable[[int], None]


def decompress(
    medium: Medium, compression: Compression, tell: _Tell = lambda _: None
) -> Iterator[bytes]:
    """The decompressed bytes, in pieces; `tell` is told how many more bytes were read.

    Raises InputError if the stream is damaged or larger than MAX_DECOMPRESSED, MissingError if
    zstd is not installed.
    """
    decompressors: dict[Compression, Callable[[Medium, _Tell], Iterable[bytes]]] = {
        Compression.GZIP: _gunzip, Compression.XZ: _unxz, Compression.ZSTD: _unzstd,
    }  # fmt: skip
    done = 0
    try:
        for piece in decompressors[compression](medium, tell):
            done += len(piece)
            if done > MAX_DECOMPRESSED:
                raise InputError(
                    f"decompresses to more than {MAX_DECOMPRESSED} bytes", where=medium.name
                )
            yield piece
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise _damaged(medium, str(error)) from None


@contextmanager
def open_decompressed(medium: Medium, compression: Compression) -> Iterator[Medium]:
    """All of it in a temporary file with holes; raises InputError or MissingError."""
    with tempfile.TemporaryFile(prefix="zpp-image-") as file:
        sink = Sink(file.fileno(), "temporary file", digest=False)
        for piece in decompress(medium, compression):
            sink.write(piece)
        sink.finish()
        yield replace(medium, descriptor=file.fileno(), start=0, size=sink.position)


def _damaged(medium: Medium, reason: str) -> InputError:
    return InputError(f"cannot be decompressed: {reason}", where=medium.name)


def _chunks(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    for chunk in medium.chunks(0, medium.size):
        tell(len(chunk))
        yield chunk


def _gunzip(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    for chunk in _chunks(medium, tell):
        data = chunk
        while data:
            if inflate.eof:  # another member, or padding
                data = data.lstrip(b"\0")
                if not data:
                    break
                inflate = zlib.decompressobj(wbits=31)
            yield inflate.decompress(data, CHUNK)
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    if not inflate.eof:
        raise EOFError("it is cut short")


def _unxz(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    inflate = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
    for chunk in _chunks(medium, tell):
        data = chunk
        while data or not (inflate.eof or inflate.needs_input):
            if inflate.eof:  # another stream, or padding
                data = data.lstrip(b"\0")
                if not data:
                    break
                inflate = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
            yield inflate.decompress(data, CHUNK)
            data = inflate.unused_data if inflate.eof else b""
    if not inflate.eof:
        raise EOFError("it is cut short")


def _unzstd(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    program = find_program("zstd", "zstd", "to read it", medium.name)
    with tempfile.TemporaryFile() as errors:
        os.lseek(medium.descriptor, medium.start, os.SEEK_SET)
        process = subprocess.Popen(
            [program, "-dcq"], stdin=medium.descriptor, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdout is not None
        try:
            before = medium.start
            while piece := process.stdout.read(CHUNK):
                # the descriptors share one position
                position = os.lseek(medium.descriptor, 0, os.SEEK_CUR)
                tell(position - before)
                before = position
                yield piece
            failed = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if failed:
            errors.seek(0)
            raise _damaged(medium, errors.read(500).decode("utf-8", "replace").strip())


# ---- writing


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
        case Compression.ZSTD:
            import zstandard  # noqa: PLC0415

            compressor = zstandard.ZstdCompressor(ZSTD_LEVEL, write_checksum=True)
            return compressor.stream_writer(file, size=size, closefd=False)
