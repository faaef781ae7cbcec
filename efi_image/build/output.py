"""The output of `make`: a raw file, a compressed stream, a virtual disk, or standard output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from efi_image.build.options import OutputFormat, ResolvedOptions
from efi_image.build.plan import Plan
from efi_image.errors import OutputError, UsageError
from efi_image.formats.bmap import BmapBuilder
from efi_image.formats.compressed import Compression, open_compressor
from efi_image.formats.virtual_disk import DiskFormat, find_qemu_img, write_virtual_disk
from efi_image.io.atomic import atomic, check_output, workspace
from efi_image.io.sink import Sink, StreamSink
from efi_image.io.source import FileSource

STANDARD_DESCRIPTOR = 1
_COMPRESSIONS = {
    OutputFormat.GZIP: Compression.GZIP,
    OutputFormat.XZ: Compression.XZ,
    OutputFormat.ZSTD: Compression.ZSTD,
}


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
        find_qemu_img("to make a virtual disk")


def check_inputs(plan: Plan) -> None:
    """Raise UsageError if a file that would be written is an input."""
    options = plan.options
    outputs = [] if options.to_standard_output else [options.output]
    for path in [*outputs, *([options.bmap] if options.bmap else [])]:
        try:
            status = path.stat()
        except OSError:
            continue
        for source in plan.sources():
            if isinstance(source, FileSource) and source.is_same(status):
                raise UsageError(f"is also an input ({source.name})", where=str(path))


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
    blocks = BmapBuilder()
    with atomic(bmap) as descriptor:
        with _open_image(plan, blocks) as sink:
            yield sink
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(blocks.finish(plan.size).pack())
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror}", where=str(bmap)) from None


@contextmanager
def _open_image(plan: Plan, blocks: BmapBuilder | None) -> Iterator[Sink]:
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
def _file(descriptor: int, plan: Plan, blocks: BmapBuilder | None) -> Iterator[Sink]:
    options = plan.options
    sink = Sink(descriptor, options.output_name, digest=options.digest, watcher=blocks)
    yield sink
    sink.finish()


@contextmanager
def _stream(descriptor: int, plan: Plan, blocks: BmapBuilder | None) -> Iterator[Sink]:
    options = plan.options
    compression = _COMPRESSIONS.get(options.output_format)
    try:
        with open_compressor(descriptor, compression, plan.size) as stream:
            sink = StreamSink(
                stream.write, options.output_name, digest=options.digest, watcher=blocks
            )
            yield sink
            sink.finish()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror}", where=options.output_name
        ) from None


@contextmanager
def _virtual_disk(plan: Plan, blocks: BmapBuilder | None) -> Iterator[Sink]:
    """A raw file, which qemu-img converts when the block ends well."""
    with workspace(plan.options.output) as made:
        raw = made.with_name("raw.img" if made.name == "raw" else "raw")
        descriptor = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with _file(descriptor, plan, blocks) as sink:
                yield sink
        finally:
            os.close(descriptor)
        write_virtual_disk(raw, made, DiskFormat[plan.options.output_format.name], plan.digest)
