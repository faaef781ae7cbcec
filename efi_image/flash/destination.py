"""Where an image goes, a disk or a plain file, with all checks that keep other data safe."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from efi_image.devices.model import Device
from efi_image.devices.sysfs import in_dev
from efi_image.errors import DoesNotFitError, UnsafeTarget, UsageError
from efi_image.flash.options import WriteOptions
from efi_image.flash.source import ImageSource
from efi_image.flash.target import Target, open_file

if TYPE_CHECKING:
    from efi_image.devices.linux import LinuxDisks

# is told of the disk that would be erased; raises UnsafeTarget if the user does not mean it
Confirm = Callable[[Device, ImageSource], None]


class Destination(Protocol):
    """What an image can be written to, not open yet."""

    @property
    def sector_size(self) -> int:
        """Bytes."""

    @property
    def serial(self) -> str:
        """A device's serial number, or ''."""

    def open(self, source: ImageSource, confirm: Confirm) -> Target:
        """Check that this image may be written to it, and open it; raises ZppError."""

    def abandon(self) -> None:
        """Nothing was written to what `open` gave."""


def find_destination(options: WriteOptions) -> Destination:
    """The destination that the options name; raises UsageError, InputError, UnsafeTarget."""
    if is_device(options.target):
        return DeviceDestination.find(options)
    path = Path(options.target)
    if path.exists() and not path.is_file():
        raise UsageError("is neither a disk nor a plain file", where=options.target)
    for given, option in ((options.capacity_test, "--probe"), (options.eject, "--eject")):
        if given:
            raise UsageError("is for devices, not for files", where=option)
    return FileDestination(options, path, is_new=not path.exists())


def is_device(path: str) -> bool:
    """Whether a target is a device, present or not; raises UnsafeTarget.

    A plain file in /dev would take memory until the machine is restarted.
    """
    is_place = path.startswith("\\\\.\\") or in_dev(os.path.realpath(path))
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return is_place
    if is_place and stat.S_ISREG(mode):
        raise UnsafeTarget(
            "is a plain file in /dev, not a disk", where=path, hint=f"remove it: `rm {path}`"
        )
    return stat.S_ISBLK(mode)


@dataclass(frozen=True, slots=True)
class FileDestination:
    """A plain file, there or new."""

    options: WriteOptions
    path: Path
    is_new: bool
    sector_size: int = 512
    serial: str = ""

    def open(self, source: ImageSource, confirm: Confirm) -> Target:
        if not self.is_new:
            self._refuse_inputs(source)
            self._refuse_attached()
        return open_file(self.path, source.size)

    def _refuse_inputs(self, source: ImageSource) -> None:
        """What is read must not be overwritten."""
        if self.path.samefile(self.options.image):
            raise UsageError("IMAGE and TARGET are the same file", where=str(self.path))
        bmap = [str(self.options.bmap)] if self.options.bmap else []
        if any(map(self.path.samefile, [*source.files(), *bmap])):
            raise UsageError("is an input of this write", where=str(self.path))

    def _refuse_attached(self) -> None:
        """Raise UnsafeTarget if the file is a loop device of this machine at the moment."""
        if sys.platform != "linux":
            return
        from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415

        if loop := LinuxDisks().attached(str(self.path)):
            raise UnsafeTarget(
                f"is in use as {loop}", where=str(self.path), hint=f"write to {loop}"
            )

    def abandon(self) -> None:
        if self.is_new:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class DeviceDestination:
    """A whole disk of this Linux system."""

    options: WriteOptions
    disks: LinuxDisks
    device: Device

    @classmethod
    def find(cls, options: WriteOptions) -> DeviceDestination:
        """The disk; raises InputError if there is none, UnsafeTarget if it must not be written."""
        if sys.platform != "linux":
            raise UsageError(
                "devices are written on Linux only",
                where=options.target,
                hint="write the image with this system's own tools",
            )
        from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415
        from efi_image.flash.device import refuse  # noqa: PLC0415

        disks = LinuxDisks()
        device = disks.find(options.target)
        refuse(device, internal=options.internal)
        return cls(options, disks, device)

    @property
    def sector_size(self) -> int:
        return self.device.sector_size

    @property
    def serial(self) -> str:
        return self.device.serial

    def open(self, source: ImageSource, confirm: Confirm) -> Target:
        from efi_image.flash.device import open_device, unmount_confirmed  # noqa: PLC0415

        device = self.device
        if found := self.disks.first_on(device, [str(self.options.image), *source.files()]):
            raise UnsafeTarget(f"contains {found}, an input of this write", where=device.path)
        if (source.size or 0) > device.size:
            raise DoesNotFitError(
                f"has {device.size} bytes, but the image has {source.size}", where=device.path
            )
        confirm(device, source)
        if device.unmount:
            unmount_confirmed(device, self.disks.find(device.path))
        return open_device(device, self.disks, internal=self.options.internal)

    def abandon(self) -> None:
        pass
