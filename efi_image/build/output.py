"""The output of `make`: a raw file, a compressed stream, a virtual disk, or standard output."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import Any

from efi_image.build.options import OutputFormat, ResolvedOptions
from efi_image.build.plan import Plan
from efi_image.errors import OutputError, UsageError
from efi_image.formats.bmap import BlockMap
from efi_image.formats.virtual_disk_writer import convert, find_qemu_img
from efi_image.io.atomic import atomic, check_output, workspace
from efi_image.io.sink import Sink, StreamSink

STANDARD_DESCRIPTOR = 1
XZ_PRESET = 1  # fast, and 10 MiB of memory
ZSTD_LEVEL = 3
GZIP_LEVEL = 6


def check_target(options: ResolvedOptions) -> None:
    """Check that the output can be written, before long work.

    Raises UsageError, OutputError or MissingError.
    """
    form = options.output_format
    if options.bmap:
        bmap = check_output(options.bmap)
        if not options.to_standard_output and bmap == check_output(options.output):
            raise UsageError("--bmap and OUTPUT are the same file", where=str(options.bmap))
    if not options.to_standard_output:
        check_output(options.output)
    elif not form.is_stream:
        raise UsageError(
            f"{form.value} cannot go to standard output", where=options.where("output-format")
        )
    elif os.isatty(STANDARD_DESCRIPTOR):
        raise OutputError(
            "is a terminal", where=options.output_name, hint="send it to a file or a pipe"
        )
    if not form.is_stream:
        find_qemu_img()


@contextmanager
def open_output(plan: Plan) -> Iterator[Sink]:
    """A sink for the image; when the block ends well, its files take their places.

    Otherwise the files are as they were. The sink knows its SHA-256 afterwards. Raises
    OutputError, MissingError.
    """
    bmap = plan.options.bmap
    if bmap is None:
        with _open_image(plan, None) as sink:
            yield sink
        return
    blocks = BlockMap()
    with atomic(bmap) as descriptor:
        with _open_image(plan, blocks) as sink:
            yield sink
        try:
            _Whole(descriptor, "wb", closefd=False).write(blocks.finish(plan.size))
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror}", where=str(bmap)) from None


@contextmanager
def _open_image(plan: Plan, blocks: BlockMap | None) -> Iterator[Sink]:
    options = plan.options
    if options.to_standard_output:
        with _stream(STANDARD_DESCRIPTOR, plan, blocks) as sink:
            yield sink
    elif not options.output_format.is_stream:
        with _virtual_disk(plan, blocks) as sink:
            yield sink
    else:
        is_raw = options.output_format is OutputFormat.RAW
        with (
            atomic(options.output) as descriptor,
            (_file if is_raw else _stream)(descriptor, plan, blocks) as sink,
        ):
            yield sink


@contextmanager
def _file(descriptor: int, plan: Plan, blocks: BlockMap | None) -> Iterator[Sink]:
    options = plan.options
    sink = Sink(descriptor, options.output_name, digest=options.digest, watcher=blocks)
    yield sink
    sink.finish()


@contextmanager
def _stream(descriptor: int, plan: Plan, blocks: BlockMap | None) -> Iterator[Sink]:
    options = plan.options
    file = _Whole(descriptor, "wb", closefd=False)
    try:
        with _compressed(file, options.output_format, plan.size) as stream:
            sink = StreamSink(
                stream.write, options.output_name, digest=options.digest, watcher=blocks
            )
            yield sink
            sink.finish()
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror}", where=options.output_name
        ) from None


@contextmanager
def _virtual_disk(plan: Plan, blocks: BlockMap | None) -> Iterator[Sink]:
    """A raw file, which qemu-img converts when the block ends well."""
    with workspace(plan.options.output) as made:
        raw = made.with_name("raw.img" if made.name == "raw" else "raw")
        descriptor = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with _file(descriptor, plan, blocks) as sink:
                yield sink
        finally:
            os.close(descriptor)
        convert(raw, made, plan.options.output_format.value, plan.digest)


# ---- compressed streams


class _Whole(FileIO):
    """A raw file whose write takes all that it is given; broken: it forgets it."""

    broken = False

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and not self.broken:
            done += super().write(view[done:]) or 0
        return len(view)


@contextmanager
def _compressed(file: _Whole, form: OutputFormat, size: int) -> Iterator[Any]:
    """A stream into `file`; complete when the block ends well, else it writes no more."""
    if form is OutputFormat.RAW:
        yield file
        return
    stream = _compressor(file, form, size)
    try:
        yield stream
        stream.close()
    except BaseException:
        file.broken = True
        with suppress(Exception):  # the error before counts
            stream.close()
        raise


def _compressor(file: Any, form: OutputFormat, size: int) -> Any:
    """A file that is written into another, compressed."""
    match form:
        case OutputFormat.GZIP:
            return gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)
        case OutputFormat.XZ:
            return lzma.LZMAFile(file, "wb", preset=XZ_PRESET)
        case _:
            import zstandard  # noqa: PLC0415

            compressor = zstandard.ZstdCompressor(ZSTD_LEVEL, write_checksum=True)
            return compressor.stream_writer(file, size=size, closefd=False)
