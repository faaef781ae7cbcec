"""Writes an image to a USB stick, another disk or a regular file, and reads it back.

The way of the data:

    options      the request: image, target, and how to write
    destination  the disk or file, and whether it may be written; opens it (device → target)
    source       the image: raw, compressed, a virtual disk, or made from a manifest (plan)
    session      the write: chunker → worker_pool → store, then readback, then boot_areas; its
                 result is the report (options)
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace

from efi_image.devices.unmount import eject
from efi_image.flash.destination import Destination, find_destination
from efi_image.flash.options import Confirm, Phase, Watch, WriteOptions, WriteReport, quiet
from efi_image.flash.plan import plan_source
from efi_image.flash.recognition import refuse_other_files
from efi_image.flash.session import Session
from efi_image.flash.source import ImageSource, open_source
from efi_image.flash.target import Target
from efi_image.formats.bmap import read_bmap

__all__ = ["Confirm", "ImageSource", "Phase", "Watch", "WriteOptions", "WriteReport", "write"]


def write(options: WriteOptions, confirm: Confirm, watch: Watch = quiet) -> WriteReport:
    """Write an image, read it back, and make it boot.

    `confirm` is called once, before a disk is changed, and raises UnsafeTarget if the user does
    not mean that disk. `watch` gives the progress display of each phase. Raises ZppError. If the
    target was changed before, a note on the exception (PEP 678) describes its state.
    """
    destination = find_destination(options)
    with (
        _open_source(options, destination.sector_size) as source,
        closing(_open_target(options, destination, source, confirm)) as target,
    ):
        started = time.monotonic()
        session = Session(source, target, options, watch)
        try:
            report = session.write()
        except BaseException as error:
            if state := session.left_behind(error):
                error.add_note(f"{options.target}: {state}")
            else:
                destination.abandon()
            raise
        seconds = time.monotonic() - started
        ejected = eject(target.descriptor()) if options.eject else None
    return replace(report, serial=destination.serial, seconds=seconds, ejected=ejected)


def _open_target(
    options: WriteOptions, destination: Destination, source: ImageSource, confirm: Confirm
) -> Target:
    if not (options.raw_bytes or options.is_manifest):
        refuse_other_files(source)
    return destination.open(source, confirm)


def _open_source(options: WriteOptions, sector_size: int) -> AbstractContextManager[ImageSource]:
    if options.is_manifest:
        return nullcontext(plan_source(options.image, sector_size))
    return open_source(options.image, read_bmap(options.bmap) if options.bmap else None)
