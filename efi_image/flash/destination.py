"""The disk or regular file that an image goes to, with all checks that keep other data safe."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from efi_image.devices.sysfs import in_dev
from efi_image.errors import UnsafeTarget, UsageError
from efi_image.flash.options import Confirm, WriteOptions
from efi_image.flash.source import ImageSource
from efi_image.flash.target import Target, open_file
from efi_image.render.text import human


class Destination(Protocol):
    """A disk or file that an image can be written to, not open yet."""

    @property
    def sector_size(self) -> int:
        """Bytes."""

    @property
    def serial(self) -> str:
        """A device's serial number, or ''."""

    def open(self, source: ImageSource, confirm: Confirm) -> Target:
        """Check that the image may be written there, and open it; raises ZppError."""

    def abandon(self) -> None:
        """Clean up: nothing was written to the target that `open` returned."""


def find_destination(options: WriteOptions) -> Destination:
    """The destination that the options name; raises UsageError, InputError, UnsafeTarget."""
    if is_device(options.target):
        if sys.platform != "linux":
            raise UsageError(
                "devices are written on Linux only",
                where=options.target,
                hint="write the image with this system's own tools",
            )
        from efi_image.flash.device import find_device  # noqa: PLC0415

        return find_device(options)
    path = Path(options.target)
    if path.exists() and not path.is_file():
        raise UsageError("is neither a disk nor a regular file", where=options.target)
    for given, option in ((options.capacity_test, "--probe"), (options.eject, "--eject")):
        if given:
            raise UsageError("is for devices, not for files", where=option)
    return FileDestination(options, path, is_new=not path.exists())


def is_device(path: str) -> bool:
    """Whether a target is a device, present or not; raises UnsafeTarget.

    A regular file in /dev would take memory until the machine is restarted.
    """
    is_place = path.startswith("\\\\.\\") or in_dev(os.path.realpath(path))
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return is_place
    if is_place and stat.S_ISREG(mode):
        raise UnsafeTarget(
            "is a regular file in /dev, not a disk", where=path, hint=f"remove it: `rm {path}`"
        )
    return stat.S_ISBLK(mode)


@dataclass(frozen=True, slots=True)
class FileDestination:
    """A regular file, old or new."""

    options: WriteOptions
    path: Path
    is_new: bool
    sector_size: int = 512
    serial: str = ""

    def open(self, source: ImageSource, confirm: Confirm) -> Target:
        if not self.is_new:
            self._refuse_inputs(source)
            refuse_attached(str(self.path))
        target = open_file(self.path, source.size)
        try:
            # a write that is resumed was confirmed when it began
            if not self.is_new and not self.options.resume and target.has_data():
                confirm(self.path, source)
        except BaseException:
            target.close()
            raise
        return target

    def _refuse_inputs(self, source: ImageSource) -> None:
        """Raise UsageError if the file is an input."""
        if self.path.samefile(self.options.image):
            raise UsageError("IMAGE and TARGET are the same file", where=str(self.path))
        bmap = [str(self.options.bmap)] if self.options.bmap else []
        if any(map(self.path.samefile, [*source.files(), *bmap])):
            raise UsageError("is an input of this write", where=str(self.path))

    def abandon(self) -> None:
        if self.is_new:
            Path(os.path.realpath(self.path)).unlink(missing_ok=True)  # not a link to it


def has_data(path: Path, option: str) -> UnsafeTarget:
    """The error for a regular file that nobody wants to overwrite; `option` allows it."""
    return UnsafeTarget(
        f"exists already and has data ({human(path.stat().st_size)})",
        where=str(path),
        hint=f"overwrite it with {option}",
    )


def refuse_attached(path: str) -> None:
    """Raise UnsafeTarget if a file is a loop device of this machine at the moment."""
    if sys.platform != "linux":
        return
    from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415

    if loop := LinuxDisks().attached(path):
        raise UnsafeTarget(f"is in use as {loop}", where=path, hint=f"write to {loop}")
