"""One change of an image: opened, checked, and made as a whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from shlex import quote

from efi_image.devices import Device
from efi_image.edit.target import EditTarget, open_image_file
from efi_image.errors import InputError, UsageError
from efi_image.flash.destination import is_device
from efi_image.formats.disk import Disk, Partition, paths_of, read_disk
from efi_image.formats.fat.bpb import BootSector
from efi_image.formats.fat.editor import FatEditor
from efi_image.io.medium import Medium, sector_size_of
from efi_image.io.overlay import Overlay
from efi_image.progress import Progress
from efi_image.verify.finding import DISK, Finding
from efi_image.verify.options import Options
from efi_image.verify.report import check_medium
from efi_image.verify.rules import Severity

ConfirmChange = Callable[[Device], None]  # raises UnsafeTarget if the user does not mean that disk

# Faults that a change would make worse, or that hid parts of the volume from the check. Names that
# collide are not among them: `rm` and `mv` fix those.
_UNSAFE_PARTS = ("ZPP-F1", "ZPP-F2", "ZPP-F3", "ZPP-F4")
_SAFE_ERRORS = {"ZPP-F407", "ZPP-F408", "ZPP-F409"}
_UNSAFE_WARNINGS = {"ZPP-F117", "ZPP-F126", "ZPP-F416", "ZPP-F417"}
_UNSAFE_TABLES = {"ZPP-G201", "ZPP-G203", "ZPP-M201"}


@dataclass(frozen=True, slots=True)
class EditOptions:
    """How to change an image.

    `seconds` (since 1970, UTC) is the date of new files. `confirm` is called for a device;
    `internal` allows a built-in one. `note` gets other messages, `progress` the written bytes.
    """

    seconds: int
    confirm: ConfirmChange
    internal: bool = False
    note: Callable[[str], None] = lambda _text: None
    progress: Progress | None = None


@contextmanager
def edit(image: str, partition: str, options: EditOptions) -> Iterator[FatEditor]:
    """An editor for a volume of an image; the image is changed if the block succeeds.

    Otherwise it stays as it was. Raises ZppError.
    """
    with _open_target(image, options) as target:
        disk = read_disk(target.medium)
        chosen = _pick(disk, partition)
        _check_safe(disk, chosen, image)
        medium = disk.medium_of(chosen)
        overlay = Overlay.over(target.medium, target.block)
        view = overlay.view(chosen.start, chosen.size, medium.name)
        _check_sectors(view, target.block)
        editor = FatEditor(view, options.seconds, reuse=target.reuse)
        with paths_of(image):
            yield editor
        changes = editor.finish()
        if changes.stages:
            target.commit(changes, options.progress)


def _open_target(image: str, options: EditOptions) -> AbstractContextManager[EditTarget]:
    if not is_device(image):
        return open_image_file(image)
    if sys.platform != "linux":
        raise UsageError("devices are changed on Linux only", where=image)
    from efi_image.edit.device import open_device_target  # noqa: PLC0415

    return open_device_target(image, options.confirm, internal=options.internal, note=options.note)


def _pick(disk: Disk, name: str) -> Partition:
    if disk.is_iso:
        raise InputError(
            "is an ISO image, whose own checksums cover the volume",
            where=disk.medium.name,
            hint="make a new one",
        )
    return disk.pick(name)


def _check_safe(disk: Disk, partition: Partition, image: str) -> None:
    """Raise InputError for a volume that must be repaired first."""
    report = check_medium(disk.medium, Options(sector_size=sector_size_of(disk.medium)))
    part = f"partition {partition.name}" if partition.entry else "volume"
    bad = next((each for each in report.findings if _is_unsafe(each, part)), None)
    if bad is None:
        return
    hint = f"`zpp-image verify {quote(image)}` explains it"
    if bad.fix and not is_device(image):
        hint = f"repair it first: `zpp-image verify --fix {quote(image)}`"
    raise InputError(
        f"cannot be changed safely: {bad.rule.title} ({bad.rule.code}: {bad.reason})",
        where=image,
        hint=hint,
    )


def _check_sectors(medium: Medium, size: int) -> None:
    """Raise InputError for a volume with smaller sectors than the device can write."""
    sectors = BootSector.unpack(medium.peek(0, 512)).sector_size
    if sectors < size:
        raise InputError(
            f"has a volume with sectors of {sectors} bytes, the device's have {size}",
            where=medium.name,
            hint=f"make the image again with `zpp-image make --sector-size {size}`",
        )


def _is_unsafe(finding: Finding, part: str) -> bool:
    code = finding.rule.code
    if finding.location.part == DISK:
        return code in _UNSAFE_TABLES
    if finding.location.part != part or not code.startswith(_UNSAFE_PARTS):
        return False
    is_error = finding.rule.severity is Severity.ERROR and code not in _SAFE_ERRORS
    return is_error or code in _UNSAFE_WARNINGS
