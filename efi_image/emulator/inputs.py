"""The files that an emulator reads: the raw image, the shared folder, and their work directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from efi_image.build.image import make_image
from efi_image.build.options import Addition, Hypervisor, ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.emulator.request import RunRequest
from efi_image.errors import InputError
from efi_image.formats.detect import HEAD, is_raw, open_medium
from efi_image.formats.disk import refuse_other_file
from efi_image.io.claims import make_claimed, remove_abandoned
from efi_image.io.medium import open_raw
from efi_image.io.sink import Sink
from efi_image.progress import Progress, told

_PREFIX = "zpp-work-"  # of folders that a later run may remove if they are not in use


@contextlib.contextmanager
def work_directory(request: RunRequest) -> Iterator[Path]:
    """A folder for one run; it is kept only on request."""
    if request.debug.keep_work:
        yield Path(tempfile.mkdtemp(prefix="zpp-kept-"))
        return
    remove_abandoned(Path(tempfile.gettempdir()), f"{_PREFIX}[a-z0-9_]{{8}}")
    work, descriptor = make_claimed(_PREFIX)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if descriptor >= 0:
            os.close(descriptor)


def usable(request: RunRequest, work: Path, progress: Progress | None = None) -> RunRequest:
    """The request with a raw image, and with an image of the shared folder."""
    return _with_share(_with_raw(request, work, progress), work, progress)


def _with_raw(request: RunRequest, work: Path, progress: Progress | None) -> RunRequest:
    """The request, with a compressed image or a virtual disk unpacked to a raw image."""
    with open_raw(request.image) as file, open_medium(request.image) as medium:
        refuse_other_file(medium)
        if is_raw(file.peek(0, HEAD)) and medium.size == file.size:
            return request
        unpacked = work / "image.raw"
        with unpacked.open("w+b") as out:
            sink = Sink(out.fileno(), str(unpacked), digest=False)
            for piece in told(medium.chunks(0, medium.size), progress, medium.size):
                sink.write(piece)
            sink.finish()
    raw = replace(request, image=unpacked)
    raw.check_files()
    return raw


def _with_share(request: RunRequest, work: Path, progress: Progress | None) -> RunRequest:
    """The request for a FAT volume with the files of the folder: every guest can read it."""
    folder = request.devices.share
    if folder is None:
        return request
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(folder)) from None
    image = work / "share.img"
    make_image(
        ResolvedOptions(
            image,
            hypervisor=Hypervisor.NONE,
            files=tuple(Addition(file, "/", "--share") for file in files),
            table=Table.NONE,
            label="SHARE",
        ),
        progress=progress,
    )
    return replace(request, devices=replace(request.devices, share=image))
