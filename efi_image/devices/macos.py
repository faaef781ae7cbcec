"""The disks of macOS, as `diskutil` tells of them in property lists.

Tested with recorded answers only, not on a Mac. diskutil knows no serial numbers, so the
path stands for them.
"""

from __future__ import annotations

import plistlib
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from efi_image.devices.model import Bus, Device, Mount, Reason, Refusal
from efi_image.errors import InputError, MissingError, UnsafeTarget
from efi_image.record import Record

_TIMEOUT = 60  # seconds
_BUSES = {
    "USB": Bus.USB,
    "Secure Digital": Bus.MMC,
    "FireWire": Bus.FIREWIRE,
    "SATA": Bus.SATA,
    "PCI-Express": Bus.NVME,
    "Apple Fabric": Bus.NVME,
    "SAS": Bus.SCSI,
    "Disk Image": Bus.LOOP,
}
_SYSTEM = ("/", "/private/var/vm")
_SYSTEM_VOLUMES = "/System/"
_MEDIA = "/Volumes/"

Ask = Callable[[tuple[str, ...]], bytes]


def ask_diskutil(arguments: tuple[str, ...]) -> bytes:
    """What diskutil answers; raises MissingError."""
    try:
        done = subprocess.run(
            ["diskutil", *arguments], capture_output=True, check=True, timeout=_TIMEOUT
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingError(f"diskutil gives no answer: {error}") from None
    return done.stdout


def _plist(raw: bytes) -> dict[str, Any]:
    try:
        found = plistlib.loads(raw)
    except (ValueError, plistlib.InvalidFileException) as error:
        raise MissingError(f"diskutil's answer is no property list: {error}") from None
    return found if isinstance(found, dict) else {}


def _whole(identifier: str) -> str:
    """disk2 of disk2s1."""
    found = re.match(r"disk\d+", identifier)
    return found[0] if found else ""


def _mounts(rows: list[dict[str, Any]]) -> dict[str, list[Mount]]:
    """Disk → what is mounted of it; an APFS container's volumes count for its stores' disks."""
    found: dict[str, list[Mount]] = defaultdict(list)
    for row in rows:
        stores = [each.get("DeviceIdentifier", "") for each in row.get("APFSPhysicalStores", [])]
        disks = {_whole(each) for each in stores} or {_whole(row.get("DeviceIdentifier", ""))}
        for volume in [row, *row.get("Partitions", []), *row.get("APFSVolumes", [])]:
            points = [volume.get("MountPoint", "")]
            points += [
                each.get("SnapshotMountPoint", "") for each in volume.get("MountedSnapshots", [])
            ]
            for point in filter(None, points):
                mount = Mount("/dev/" + volume.get("DeviceIdentifier", ""), point, "")
                for disk in disks:
                    found[disk].append(mount)
    return found


def _device(about: dict[str, Any], mounts: list[Mount]) -> Device:
    external = not about.get("Internal", True) or bool(about.get("RemovableMedia"))
    refusals, unmount = [], []
    for mount in mounts:
        if mount.target in _SYSTEM or mount.target.startswith(_SYSTEM_VOLUMES):
            refusals.append(Refusal(Reason.SYSTEM, f"holds {mount.target}"))
        elif external and mount.target.startswith(_MEDIA):
            unmount.append(mount)
        else:
            refusals.append(Refusal(Reason.MOUNTED, f"is mounted at {mount.target}"))
    size = int(about.get("Size") or about.get("TotalSize") or 0)
    read_only = not about.get("WritableMedia", False)
    for applies, reason, text in (
        (not size, Reason.NO_MEDIUM, "has no medium in it"),
        (size and read_only, Reason.READ_ONLY, "is write-protected"),
        (not external, Reason.INTERNAL, "is an internal disk"),
    ):
        if applies:
            refusals.append(Refusal(reason, text))
    return Device(
        path=str(about.get("DeviceNode", "")),
        name=str(about.get("DeviceIdentifier", "")),
        size=size,
        sector_size=int(about.get("DeviceBlockSize") or 512),
        model=str(about.get("MediaName") or about.get("IORegistryEntryName") or "").strip(),
        bus=_BUSES.get(str(about.get("BusProtocol", "")), Bus.OTHER),
        removable=bool(about.get("RemovableMedia")),
        external=external,
        read_only=read_only,
        mounts=tuple(mounts),
        unmount=tuple(unmount),
        refusals=tuple(refusals),
    )


class MacDisks(Record):
    """The disks of this Mac."""

    ask: Ask = ask_diskutil

    def devices(self) -> Iterator[Device]:
        """All whole disks that are real; a container is no disk of its own."""
        listed = _plist(self.ask(("list", "-plist")))
        mounts = _mounts(listed.get("AllDisksAndPartitions", []))
        for name in listed.get("WholeDisks", []):
            about = _plist(self.ask(("info", "-plist", name)))
            if (
                about.get("VirtualOrPhysical") != "Virtual"
                or about.get("BusProtocol") == "Disk Image"
            ):
                yield _device(about, mounts[name])

    def find(self, path: str) -> Device:
        """The disk with that path, or with its raw one (/dev/rdisk2)."""
        wanted = path.replace("/dev/rdisk", "/dev/disk")
        for device in self.devices():
            if device.path == wanted:
                return device
            if _whole(wanted.removeprefix("/dev/")) == device.name:
                raise UnsafeTarget(
                    "is a partition",
                    where=path,
                    hint=f"give the whole disk, which is {device.path}",
                )
        raise InputError("is no whole disk", where=path)
