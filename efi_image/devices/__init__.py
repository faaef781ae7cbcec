"""Lists the disks of this machine and tells which of them are safe to write to.

model           a disk, its mounts, and the reasons not to write to it
linux           the disks of Linux: sysfs (block devices) and uses (mounts, swap, pools …)
macos, windows  the disks of macOS and Windows, listed only
watch           disks that are plugged and unplugged
unmount         unmounting and ejecting
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

from efi_image.devices.model import Bus, Device, Mount, Reason, Refusal
from efi_image.errors import MissingError

__all__ = ["Bus", "Device", "Disks", "Mount", "Reason", "Refusal", "disks"]


class Disks(Protocol):
    """The disks of an operating system, read again with every call."""

    def devices(self) -> Iterator[Device]:
        """All whole disks; raises MissingError if they cannot be listed."""

    def find(self, path: str) -> Device:
        """The disk with that path; raises InputError if there is none, UnsafeTarget for a
        partition or another device that is not a whole disk."""


def disks() -> Disks:
    """The disks of this machine; raises MissingError on other systems."""
    platform = sys.platform.lower()  # a plain string, or mypy checks one branch only
    if platform == "linux":
        from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415

        return LinuxDisks()
    if platform == "darwin":
        from efi_image.devices.macos import MacDisks  # noqa: PLC0415

        return MacDisks()
    if platform == "win32":
        from efi_image.devices.windows import WindowsDisks  # noqa: PLC0415

        return WindowsDisks()
    raise MissingError(
        f"cannot list the disks of {sys.platform}; Linux, macOS and Windows are supported"
    )
