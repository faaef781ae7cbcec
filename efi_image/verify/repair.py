"""--fix: what can be mended safely is mended on a copy, which then takes the image's place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import InputError, OutputError
from efi_image.formats.detect import HEAD, is_raw, open_medium
from efi_image.io.atomic import atomic
from efi_image.io.holes import data_extents
from efi_image.io.medium import Medium, open_raw
from efi_image.progress import counter
from efi_image.verify.finding import Copy, Fix, Patch
from efi_image.verify.options import Options
from efi_image.verify.report import Report, check_medium

ROUNDS = 8  # mending one thing can show another
CHUNK = 1 << 20


@dataclass(frozen=True)
class Mended:
    """What was there, what was done about it, and what is left."""

    before: Report
    done: tuple[str, ...]
    after: Report


def mend(image: Path, output: Path | None = None, options: Options | None = None) -> Mended:
    """Mend a raw image, or a raw copy of one of any format; raises InputError or OutputError.

    Nothing is written if there is nothing to mend, unless another output is wanted. When
    it fails, the image is as it was.
    """
    options = options or Options()
    with open_medium(image) as medium:
        if output is None:
            _require_raw(image, medium.size)
        before = check_medium(medium, options)
        if output is None and not any(finding.fix for finding in before.findings):
            return Mended(before, (), before)
        with atomic(output or image) as descriptor:
            tell = counter(options.progress, medium.size)
            _copy(medium, descriptor, str(output or image), tell)
            copy = Medium(descriptor, medium.name, 0, medium.size)
            done, after = _rounds(copy, options, before)
            if output is None:
                os.fchmod(descriptor, os.fstat(medium.descriptor).st_mode & 0o7777)
            os.fsync(descriptor)
    return Mended(before, tuple(done), after)


def _require_raw(image: Path, size: int) -> None:
    """Refuse a file that is not the disk itself; `size` is the disk's."""
    with open_raw(image) as medium:
        if not is_raw(medium.peek(0, HEAD)) or medium.size != size:
            raise InputError(
                "is no raw image, so it cannot be mended in place",
                where=str(image),
                hint="use --output for a raw copy",
            )


def _rounds(medium: Medium, options: Options, report: Report) -> tuple[list[str], Report]:
    done: list[str] = []
    for _ in range(ROUNDS):
        fixes = list(
            dict.fromkeys((f.place.part, f.fix) for f in report.findings if f.fix is not None)
        )
        if not fixes:
            break
        for part, fix in fixes:
            _apply(medium, fix)
            done.append(f"{part}: {fix.text}")
        report = check_medium(medium, options)
    return done, report


def _apply(medium: Medium, fix: Fix) -> None:
    for patch in fix.patches:
        place = patch.offset
        for data in _pieces(medium, patch):
            if place < 0 or place + len(data) > medium.size:
                raise InputError("a fix lies outside of the image", where=medium.name)
            try:
                _write(medium.descriptor, data, place)
            except OSError as error:
                reason = f"cannot be written: {error.strerror}"
                raise OutputError(reason, where=medium.name) from None
            place += len(data)


def _pieces(medium: Medium, patch: Patch | Copy) -> Iterable[bytes]:
    if isinstance(patch, Patch):
        return [patch.data]
    return medium.chunks(patch.source, patch.size)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _copy(medium: Medium, descriptor: int, name: str, tell: Callable[[int], None] | None) -> None:
    """Copy an image with its holes."""
    try:
        done = 0
        for first, end in data_extents(medium.descriptor, 0, medium.size):
            for start in range(first, end, CHUNK):
                _write(descriptor, medium.read(start, min(CHUNK, end - start)), start)
            if tell:
                tell(end - done)
            done = end
        os.ftruncate(descriptor, medium.size)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=name) from None
