"""Packed streams: gzip and xz by Python's modules, zstd by its program."""

from __future__ import annotations

import lzma
import os
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from efi_image.errors import InputError
from efi_image.io.medium import CHUNK, Medium
from efi_image.io.programs import find_program
from efi_image.io.sink import Sink

MAX_UNPACKED = 64 << 30  # bytes of an image once unpacked
MAX_XZ_MEMORY = 100 << 20

_Read = Callable[[int], None]


def unpack(medium: Medium, stream: str, read: _Read = lambda _: None) -> Iterator[bytes]:
    """The unpacked bytes, in pieces; raises InputError or MissingError.

    `read` is told how many more packed bytes were taken.
    """
    unpackers: dict[str, Callable[[Medium, _Read], Iterable[bytes]]] = {
        "gzip": _gunzip, "xz": _unxz, "zstd": _unzstd,
    }  # fmt: skip
    done = 0
    try:
        for piece in unpackers[stream](medium, read):
            done += len(piece)
            if done > MAX_UNPACKED:
                raise InputError(f"unpacks to more than {MAX_UNPACKED} bytes", where=medium.name)
            yield piece
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise InputError(f"cannot be unpacked: {error}", where=medium.name) from None


def _packed(medium: Medium, read: _Read) -> Iterator[bytes]:
    for chunk in medium.chunks(0, medium.size):
        read(len(chunk))
        yield chunk


@contextmanager
def unpacked(medium: Medium, stream: str) -> Iterator[Medium]:
    """All of it in a temporary file; raises InputError or MissingError."""
    with tempfile.TemporaryFile(prefix="zpp-image-") as file:
        sink = Sink(file.fileno(), "temporary file", digest=False)
        for piece in unpack(medium, stream):
            sink.write(piece)
        sink.finish()
        yield replace(medium, descriptor=file.fileno(), start=0, size=sink.position)


def _gunzip(medium: Medium, read: _Read) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    for chunk in _packed(medium, read):
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


def _unxz(medium: Medium, read: _Read) -> Iterator[bytes]:
    inflate = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
    for chunk in _packed(medium, read):
        data = chunk
        while data or not (inflate.eof or inflate.needs_input):
            if inflate.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                inflate = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
            yield inflate.decompress(data, CHUNK)
            data = inflate.unused_data if inflate.eof else b""
    if not inflate.eof:
        raise EOFError("it is cut short")


def _unzstd(medium: Medium, read: _Read) -> Iterator[bytes]:
    program = find_program("zstd", "zstd", medium.name)
    with tempfile.TemporaryFile() as errors:
        os.lseek(medium.descriptor, medium.start, os.SEEK_SET)
        process = subprocess.Popen(
            [program, "-dcq"], stdin=medium.descriptor, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            assert process.stdout is not None
            before = medium.start
            while piece := process.stdout.read(CHUNK):
                # the descriptors share one position
                taken = os.lseek(medium.descriptor, 0, os.SEEK_CUR)
                read(taken - before)
                before = taken
                yield piece
            failed = process.wait()
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if failed:
            errors.seek(0)
            reason = errors.read(500).decode("utf-8", "replace").strip()
            raise InputError(f"cannot be unpacked: {reason}", where=medium.name)
