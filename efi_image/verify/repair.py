"""--fix and --undo: change a copy of an image, which then replaces the image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import InputError, OutputError, UsageError
from efi_image.formats.detect import HEAD, is_raw, open_medium
from efi_image.io.atomic import atomic
from efi_image.io.holes import data_extents
from efi_image.io.medium import Medium, open_raw
from efi_image.progress import counter
from efi_image.verify.finding import Fix, Patch
from efi_image.verify.options import Options
from efi_image.verify.report import Report, check_medium
from efi_image.verify.undo import Change, UndoLog, undo_path

ROUNDS = 8  # a repair can uncover another finding


@dataclass(frozen=True, slots=True)
class Repaired:
    """The report before, what was fixed (in the past tense), and the report after.

    `undo` is the undo file, if one was written.
    """

    before: Report
    fixed: tuple[str, ...]
    after: Report
    undo: Path | None = None


def repair(image: Path, output: Path | None = None, options: Options | None = None) -> Repaired:
    """Repair a raw image, or write a repaired raw copy of an image of any format to `output`.

    Without `output`, an image with nothing to repair is not written, and an undo file keeps the
    old bytes. After an error the image is unchanged. Raises InputError if the image cannot be
    read, or is not raw and there is no `output`; UsageError if both are the same file; OutputError
    if the result cannot be written.
    """
    options = options or Options()
    if output and output.exists() and image.exists() and output.samefile(image):
        raise UsageError(
            "IMAGE and --output are the same file", where=str(output),
            hint="leave --output out to repair IMAGE itself, which can be undone",
        )  # fmt: skip
    with open_medium(image) as medium:
        if output is None:
            _require_raw(image, medium.size)
        before = check_medium(medium, options)
        if output is None and not any(finding.fix for finding in before.findings):
            return Repaired(before, (), before)
        with atomic(output or image) as descriptor:
            tell = counter(options.progress, medium.size)
            _copy(medium, descriptor, str(output or image), tell)
            copy = Medium(descriptor, str(output or image), 0, medium.size)
            log = UndoLog(medium.size)
            fixed, after = _repair(copy, options, before, log)
            undo = None
            if output is None:
                undo = _keep(log, undo_path(image))
                os.fchmod(descriptor, os.fstat(medium.descriptor).st_mode & 0o7777)
            os.fsync(descriptor)
    return Repaired(before, tuple(fixed), after, undo)


def undo(image: Path) -> int:
    """Take back all repairs in the undo file of an image, and remove that file.

    Returns the number of changes. After an error the image is unchanged. Raises InputError if
    there is no undo file, or the image is not as the last repair left it; OutputError.
    """
    path = undo_path(image)
    log = UndoLog.load(path)
    with open_raw(image) as medium, atomic(image) as descriptor:
        if medium.size != log.size:
            raise _changed(medium)
        _copy(medium, descriptor, str(image), None)
        copy = Medium(descriptor, str(image), 0, medium.size)
        for change in reversed(log.changes):
            if copy.peek(change.offset, len(change.after)) != change.after:
                raise _changed(medium)
            _change(copy, change.offset, change.before)
        os.fchmod(descriptor, os.fstat(medium.descriptor).st_mode & 0o7777)
        os.fsync(descriptor)
    path.unlink(missing_ok=True)
    return len(log.changes)


def _changed(medium: Medium) -> InputError:
    return InputError(
        "is not as the last repair left it",
        where=medium.name,
        hint="it was changed after the repair, or its undo file is another image's",
    )


def _keep(log: UndoLog, path: Path) -> Path:
    """Write the undo file, with the changes of earlier repairs first."""
    if path.exists():
        earlier = UndoLog.load(path)
        log = UndoLog(log.size, [*earlier.changes, *log.changes])
    log.save(path)
    return path


def _require_raw(image: Path, size: int) -> None:
    """Refuse a file that is not the disk itself; `size` is the disk's, in bytes."""
    with open_raw(image) as medium:
        if not is_raw(medium.peek(0, HEAD)) or medium.size != size:
            raise InputError(
                "is not a raw image, so it cannot be repaired in place",
                where=str(image),
                hint="write a repaired raw copy with --output FILE",
            )


def _repair(
    medium: Medium, options: Options, report: Report, log: UndoLog
) -> tuple[list[str], Report]:
    fixed: list[str] = []
    for _ in range(ROUNDS):
        fixes = dict.fromkeys((f.location.part, f.fix) for f in report.findings if f.fix)
        if not fixes:
            break
        for part, fix in fixes:
            _apply(medium, fix, log)
            fixed.append(f"{part}: {fix.text}")
        report = check_medium(medium, options)
    return fixed, report


def _apply(medium: Medium, fix: Fix, log: UndoLog) -> None:
    for offset, data in _writes(medium, fix):
        if offset < 0 or offset + len(data) > medium.size:
            raise InputError("a fix lies outside the image", where=medium.name)
        before = medium.read(offset, len(data))
        if before != data:
            log.changes.append(Change(offset, before, data))
            _change(medium, offset, data)


def _change(medium: Medium, offset: int, data: bytes) -> None:
    try:
        _write(medium.descriptor, data, offset)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=medium.name) from None


def _writes(medium: Medium, fix: Fix) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each write of a fix."""
    for patch in fix.patches:
        if isinstance(patch, Patch):
            yield patch.offset, patch.data
            continue
        offset = patch.offset
        for data in medium.chunks(patch.source, patch.size):
            yield offset, data
            offset += len(data)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _copy(medium: Medium, descriptor: int, name: str, tell: Callable[[int], None] | None) -> None:
    """Copy an image and keep its holes."""
    try:
        done = 0
        for start, end in data_extents(medium.descriptor, 0, medium.size):
            offset = start
            for chunk in medium.chunks(start, end - start):
                _write(descriptor, chunk, offset)
                offset += len(chunk)
            if tell:
                tell(end - done)
            done = end
        os.ftruncate(descriptor, medium.size)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=name) from None
