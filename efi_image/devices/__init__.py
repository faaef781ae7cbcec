"""The disks of this machine, and which of them may be written to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

from efi_image.devices.model import Bus, Device, Mount, Reason, Refusal
from efi_image.errors import MissingError

__all__ = ["Bus", "Device", "Disks", "Mount", "Reason", "Refusal", "disks"]


class Disks(Protocol):
    """What an operating system tells of its disks, asked anew with every call."""

    def devices(self) -> Iterator[Device]:
        """All whole disks."""

    def find(self, path: str) -> Device:
        """The disk with that path; raises InputError or UnsafeTarget if it is none."""


def disks() -> Disks:
    """Those of this machine; raises MissingError where they cannot be asked for."""
    platform = sys.platform.lower()  # a plain string, lest mypy leaves out the others
    if platform == "linux":
        from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415

        return LinuxDisks()
    if platform == "darwin":
        from efi_image.devices.macos import MacDisks  # noqa: PLC0415

        return MacDisks()
    if platform == "win32":
        from efi_image.devices.windows import WindowsDisks  # noqa: PLC0415

        return WindowsDisks()
    raise MissingError(f"no way is known to list the disks of {sys.platform}")
