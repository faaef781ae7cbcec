"""Where an image goes, and in which form: raw, a compressed stream, or a virtual disk."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from io import FileIO
from pathlib import Path
from typing import IO, Any

from efi_image.errors import OutputError, UsageError
from efi_image.formats import virtual_disk_writer as container
from efi_image.formats.bmap import BlockMap
from efi_image.io.atomic import atomic, check_output, workspace
from efi_image.io.sink import Sink, StreamSink

STANDARD = "-"
STANDARD_DESCRIPTOR = 1
STANDARD_NAME = "standard output"
XZ_PRESET = 1  # fast, and 10 MiB of memory
ZSTD_LEVEL = 3
GZIP_LEVEL = 6

Write = Callable[[Sink], None]


class Form(Enum):
    """Forms of an image; the value is also the suffix of its file."""

    RAW = "raw"
    GZIP = "gz"
    XZ = "xz"
    ZSTD = "zst"
    QCOW2 = "qcow2"
    VHD = "vhd"
    VHDX = "vhdx"
    VMDK = "vmdk"
    VDI = "vdi"

    @property
    def is_stream(self) -> bool:
        """Whether it is written front to back."""
        return self in {Form.RAW, Form.GZIP, Form.XZ, Form.ZSTD}


def form_of(name: str) -> Form:
    """The form that a file's suffix stands for; else raw."""
    suffix = os.path.splitext(name)[1][1:].lower()
    return next((form for form in Form if form.value == suffix), Form.RAW)


@dataclass(frozen=True, slots=True)
class Target:
    """An image's file, or standard output (path `-`), its form, and its bmap file if any."""

    path: str | Path
    form: Form
    bmap: str | Path | None = None

    @property
    def is_standard(self) -> bool:
        """Whether it goes to standard output."""
        return os.fspath(self.path) == STANDARD

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return STANDARD_NAME if self.is_standard else os.fspath(self.path)

    def check(self) -> None:
        """Raise UsageError, OutputError or MissingError if it cannot be, before long work."""
        if self.bmap:
            check_output(self.bmap)
            if not self.is_standard and check_output(self.bmap) == check_output(self.path):
                raise UsageError("is the image, too", where="--bmap")
        if not self.is_standard:
            check_output(self.path)
        elif not self.form.is_stream:
            raise UsageError(
                f"{self.form.value} cannot go to standard output", where="--output-format"
            )
        elif os.isatty(STANDARD_DESCRIPTOR):
            raise OutputError("is a terminal", where=self.name, hint="send it to a file or a pipe")
        if not self.form.is_stream:
            container.find_qemu_img()


class _Whole(FileIO):
    """A raw file whose write takes all that it is given; broken: it forgets it."""

    broken = False

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and not self.broken:
            done += super().write(view[done:]) or 0
        return len(view)


def _as_file(file: Any) -> IO[bytes]:
    """To whoever checks types: what compressors need of a file, it has."""
    return file  # type: ignore[no-any-return]


def _compressor(file: _Whole, form: Form, size: int) -> Any:
    """A file that is written into another, compressed."""
    match form:
        case Form.GZIP:
            return gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)
        case Form.XZ:
            return lzma.LZMAFile(_as_file(file), "wb", preset=XZ_PRESET)
        case _:
            import zstandard  # noqa: PLC0415

            compressor = zstandard.ZstdCompressor(ZSTD_LEVEL, write_checksum=True)
            return compressor.stream_writer(_as_file(file), size=size, closefd=False)


@contextmanager
def _compressed(file: _Whole, form: Form, size: int) -> Iterator[Any]:
    """A stream into `file`; complete when the block ends well, else it writes no more."""
    stream = _compressor(file, form, size)
    try:
        yield stream
        stream.close()
    except BaseException:
        file.broken = True
        try:
            stream.close()
        except Exception:  # noqa: S110 - the error before counts
            pass
        raise


def _into(stream: Any, target: Target, write: Write, digest: bool, blocks: BlockMap | None) -> str:
    sink = StreamSink(stream.write, target.name, digest=digest, watcher=blocks)
    write(sink)
    return sink.finish()


def _stream(
    descriptor: int, target: Target, write: Write, size: int, digest: bool, blocks: BlockMap | None
) -> str:
    file = _Whole(descriptor, "wb", closefd=False)
    try:
        if target.form is Form.RAW:
            return _into(file, target, write, digest, blocks)
        with _compressed(file, target.form, size) as stream:
            return _into(stream, target, write, digest, blocks)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=target.name) from None


def _file(
    descriptor: int, target: Target, write: Write, digest: bool, blocks: BlockMap | None
) -> str:
    sink = Sink(descriptor, target.name, digest=digest, watcher=blocks)
    write(sink)
    return sink.finish()


def _virtual_disk(
    target: Target, write: Write, digest: bool, blocks: BlockMap | None, seed: bytes
) -> str:

    with workspace(target.path) as made:
        raw = made.with_name("raw.img" if made.name == "raw" else "raw")
        descriptor = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            found = _file(descriptor, target, write, digest, blocks)
        finally:
            os.close(descriptor)
        container.convert(raw, made, target.form.value, seed)
        return found


def _image(
    target: Target, write: Write, size: int, digest: bool, seed: bytes, blocks: BlockMap | None
) -> str:
    if target.is_standard:
        return _stream(STANDARD_DESCRIPTOR, target, write, size, digest, blocks)
    if not target.form.is_stream:
        return _virtual_disk(target, write, digest, blocks, seed)
    with atomic(target.path) as descriptor:
        if target.form is Form.RAW:
            return _file(descriptor, target, write, digest, blocks)
        return _stream(descriptor, target, write, size, digest, blocks)


def write_image(target: Target, write: Write, *, size: int, digest: bool, seed: bytes) -> str:
    """Write an image of `size` bytes that `write` writes; its raw SHA-256, or ''.

    The identities of a virtual disk are derived from `seed`. The files are replaced only
    when all went well.
    """
    if target.bmap is None:
        return _image(target, write, size, digest, seed, None)

    blocks = BlockMap()
    with atomic(target.bmap) as descriptor:
        found = _image(target, write, size, digest, seed, blocks)
        try:
            _Whole(descriptor, "wb", closefd=False).write(blocks.finish(size))
        except OSError as error:
            where = os.fspath(target.bmap)
            raise OutputError(f"cannot be written: {error.strerror}", where=where) from None
    return found
