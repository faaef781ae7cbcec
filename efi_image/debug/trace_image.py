"""A copy of an image whose zpp.conf switches the trace on; the image itself is not changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from efi_image.errors import InputError, OutputError
from efi_image.formats.detect import open_medium
from efi_image.formats.disk import Disk, read_disk
from efi_image.formats.fat.changes import Block
from efi_image.formats.fat.editor import FatEditor
from efi_image.formats.fat.folder import Folder
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import find, split_path
from efi_image.formats.zpp_conf import CONF_PATH
from efi_image.io.medium import open_raw
from efi_image.io.overlay import Overlay
from efi_image.io.sink import Sink
from efi_image.io.source import BytesSource


def traced_copy(image: Path, folder: Path, port: int) -> Path:
    """A raw copy in `folder` that traces to an I/O port.

    Every zpp.conf on a FAT volume gets the key. Raises InputError if there is none,
    DoesNotFitError and OutputError.
    """
    copy = folder / "traced.img"
    try:
        with copy.open("w+b") as out:
            with open_medium(image) as medium:
                sink = Sink(out.fileno(), str(copy), digest=False)
                for piece in medium.chunks(0, medium.size):
                    sink.write(piece)
                sink.finish()
            with open_raw(copy) as medium:
                blocks = list(_changes(read_disk(medium), port))
            for offset, data in blocks:
                os.pwrite(out.fileno(), data, offset)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=str(copy)) from None
    if not blocks:
        raise InputError(
            f"has no {CONF_PATH}, which switches tracing on",
            where=str(image), hint="`zpp-image make` makes an image with zpp",
        )  # fmt: skip
    return copy


def _changes(disk: Disk, port: int) -> Iterator[Block]:
    overlay = Overlay.over(disk.medium)
    for partition in disk.partitions:
        if not disk.has_volume(partition) or not isinstance(disk.volume(partition), FatVolume):
            continue
        view = overlay.view(partition.start, partition.size)
        editor = FatEditor(view, int(time.time()), reuse=True)
        if not _add_key(editor, port):
            continue
        changes = editor.finish()
        yield from changes.contents()
        yield from (block for stage in changes.stages for block in stage)


def _add_key(editor: FatEditor, port: int) -> bool:
    """Whether the volume has a zpp.conf."""
    *folders, name = split_path(CONF_PATH)
    here: Folder = editor.root
    for each in folders:
        item = here.find(each)
        if item is None or not item.is_directory:
            return False
        here = editor.folder(item.entry.first_cluster)
    if here.find(name) is None:
        return False
    _, node = find(editor.volume, (*folders, name))
    conf = with_trace(b"".join(editor.volume.chunks(node)), port)
    editor.put_file(here, name, BytesSource(name, conf))
    return True


def with_trace(conf: bytes, port: int) -> bytes:
    """The text of a zpp.conf with the key `trace`, in place of one that is there."""
    lines = conf.split(b"\n")
    sections = (n for n, line in enumerate(lines) if line.lstrip(b" \t").startswith(b"["))
    top = next(sections, len(lines))
    kept = [line for line in lines[:top] if line.partition(b"=")[0].strip() != b"trace"]
    return b"\n".join([f"trace = {port:#x}".encode("ascii"), *kept, *lines[top:]])
