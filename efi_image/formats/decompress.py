"""Reads compressed images: a stream, or a ZIP archive with one file.

Python's modules read gzip, xz, bzip2 and ZIP. zstd and LZ4 are read by their programs: the zstd
library neither bounds the memory for a piece nor detects a stream that is cut short.
"""

from __future__ import annotations

import bz2
import io
import lzma
import subprocess
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, Any

from efi_image.errors import InputError
from efi_image.formats.compressed import Compression, skippable_end
from efi_image.io.medium import CHUNK, Medium
from efi_image.io.programs import find_program
from efi_image.io.sink import Sink

MAX_DECOMPRESSED = 64 << 30  # bytes of an image
MAX_XZ_MEMORY = 100 << 20  # bytes

_Tell = Callable[[int], None]


def decompress(
    medium: Medium, compression: Compression, tell: _Tell = lambda _: None
) -> Iterator[bytes]:
    """The decompressed bytes, in pieces; `tell` is told how many more bytes were read.

    Raises InputError if the stream is damaged or larger than MAX_DECOMPRESSED, MissingError if
    its program is not installed.
    """
    decompressors: dict[Compression, Callable[[Medium, _Tell], Iterable[bytes]]] = {
        Compression.GZIP: _gunzip, Compression.XZ: _unxz, Compression.BZIP2: _bunzip2,
        Compression.ZSTD: _unzstd, Compression.LZ4: _unlz4, Compression.ZIP: _unzip,
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
    except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, EOFError) as error:
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
    return _streams(medium, tell, lambda: lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY))


def _bunzip2(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    return _streams(medium, tell, bz2.BZ2Decompressor)


def _streams(
    medium: Medium,
    tell: _Tell,
    new: Callable[[], lzma.LZMADecompressor | bz2.BZ2Decompressor],
) -> Iterator[bytes]:
    """The content of streams that follow each other, with padding between and behind them."""
    inflate = new()
    for chunk in _chunks(medium, tell):
        data = chunk
        while data or not (inflate.eof or inflate.needs_input):
            if inflate.eof:  # another stream, or padding
                data = data.lstrip(b"\0")
                if not data:
                    break
                inflate = new()
            try:
                yield inflate.decompress(data, CHUNK)
            except (OSError, ValueError) as error:  # of bz2; lzma has an error of its own
                raise EOFError(str(error)) from None
            data = inflate.unused_data if inflate.eof else b""
    if not inflate.eof:
        raise EOFError("it is cut short")


def _unzstd(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    program = find_program("zstd", "zstd", "to read it", medium.name)
    return _run([program, "-dcq"], medium, frames_end(medium), tell)


def _unlz4(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    program = find_program("lz4", "lz4", "to read it", medium.name)
    return _run([program, "-dcq"], medium, frames_end(medium), tell)


def frames_end(medium: Medium) -> int:
    """Where the last frame of zstd or LZ4 ends if only zeros follow, else the medium's end.

    The programs refuse zeros behind the last frame.
    """
    position = 0
    while position < medium.size:
        frame = medium.peek(position, 8)
        skipped = skippable_end(frame)
        if skipped:
            position += skipped
        elif frame.startswith(b"\x28\xb5\x2f\xfd"):
            position = _zstd_frame_end(medium, position)
        elif frame.startswith(b"\x04\x22\x4d\x18"):
            position = _lz4_frame_end(medium, position)
        else:
            zeros = all(not any(chunk) for chunk in medium.chunks(position, medium.size - position))
            return position if zeros else medium.size
    return medium.size


def _zstd_frame_end(medium: Medium, position: int) -> int:
    """Where a frame ends (RFC 8878, 3.1.1)."""
    descriptor = medium.read(position + 4, 1)[0]
    single_segment = descriptor >> 5 & 1
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    position += 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size
    last = False
    while not last:
        block = int.from_bytes(medium.peek(position, 3), "little")
        last = bool(block & 1) or position >= medium.size
        is_rle = block >> 1 & 3 == 1
        position += 3 + (1 if is_rle else block >> 3)
    return position + (4 if descriptor >> 2 & 1 else 0)


def _lz4_frame_end(medium: Medium, position: int) -> int:
    """Where a frame ends (LZ4 Frame Format 1.6.2)."""
    flags = medium.read(position + 4, 1)[0]
    position += 7 + (8 if flags >> 3 & 1 else 0) + (4 if flags & 1 else 0)
    checksum = 4 if flags >> 4 & 1 else 0
    while size := int.from_bytes(medium.peek(position, 4), "little") & 0x7FFFFFFF:
        position += 4 + size + checksum
    return position + 4 + (4 if flags >> 2 & 1 else 0)


def _run(command: list[str], medium: Medium, end: int, tell: _Tell) -> Iterator[bytes]:
    """What a program makes of the medium's bytes before `end`."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdin is not None
        assert process.stdout is not None
        feeder = _Feeder(medium, end, process.stdin, tell)
        feeder.start()
        try:
            while piece := process.stdout.read(CHUNK):
                yield piece
            failed = process.wait()
        finally:
            process.kill()
            process.wait()
            feeder.join()
            process.stdout.close()
        if feeder.fault:
            raise feeder.fault
        if failed:
            errors.seek(0)
            raise _damaged(medium, errors.read(500).decode("utf-8", "replace").strip())


class _Feeder(threading.Thread):
    """Writes the medium's bytes before `end` to a program; `fault` says why it could not."""

    def __init__(self, medium: Medium, end: int, to: IO[bytes], tell: _Tell) -> None:
        super().__init__(daemon=True)
        self.fault: InputError | None = None
        self._medium, self._end, self._to, self._tell = medium, end, to, tell

    def run(self) -> None:
        with suppress(BrokenPipeError), self._to:  # the program has ended
            try:
                for chunk in self._medium.chunks(0, self._end):
                    self._to.write(chunk)
                    self._tell(len(chunk))
            except InputError as error:
                self.fault = error


class _Reader(io.RawIOBase):
    """A medium as a file that zipfile can read."""

    def __init__(self, medium: Medium, tell: _Tell) -> None:
        self._medium, self._tell, self._position = medium, tell, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._medium.size}
        self._position = max(base[whence] + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        found = self._medium.peek(self._position, len(buffer))
        buffer[: len(found)] = found
        self._position += len(found)
        self._tell(len(found))
        return len(found)


def _unzip(medium: Medium, tell: _Tell) -> Iterator[bytes]:
    with zipfile.ZipFile(_Reader(medium, tell)) as archive:
        files = [each for each in archive.infolist() if not each.is_dir()]
        if len(files) != 1:
            raise InputError(
                f"is a ZIP archive of {len(files)} files, not of one image",
                where=medium.name,
                hint="unpack it and name the image",
            )
        try:
            with archive.open(files[0]) as file:
                while piece := file.read(CHUNK):
                    yield piece
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or another method
            raise _damaged(medium, str(error)) from None
