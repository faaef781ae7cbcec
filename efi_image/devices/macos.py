"""The disks of macOS, from the property lists of `diskutil`.

Tested with recorded answers only, not on a Mac. diskutil gives no serial numbers, so the path
takes their place. A disk with missing or unknown facts is not a safe target.
"""

from __future__ import annotations

import plistlib
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from efi_image.devices.model import Bus, Device, Mount, Reason, Refusal
from efi_image.errors import InputError, MissingError, UnsafeTarget

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
# partitions that are members of another disk; for APFS, the list itself tells
_MEMBERS = ("Apple_RAID", "Apple_CoreStorage", "Apple_Fusion")

Ask = Callable[[tuple[str, ...]], bytes]


def ask_diskutil(arguments: tuple[str, ...]) -> bytes:
    """The answer of diskutil; raises MissingError."""
    try:
        done = subprocess.run(
            ["diskutil", *arguments], capture_output=True, check=True, timeout=_TIMEOUT
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingError(f"diskutil failed: {error}") from None
    return done.stdout


def _plist(raw: bytes) -> dict[str, Any]:
    try:
        found = plistlib.loads(raw)
    except (ValueError, plistlib.InvalidFileException) as error:
        raise MissingError(f"diskutil's answer is not a property list: {error}") from None
    if not isinstance(found, dict) or found.get("Error"):
        reason = found.get("ErrorMessage") if isinstance(found, dict) else ""
        raise MissingError(f"diskutil failed: {reason or 'its answer is not a dictionary'}")
    return found


def _rows(row: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = row.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise MissingError(f"diskutil's answer has an unknown form: {key}")
    return found


def _names(row: dict[str, Any], key: str) -> list[str]:
    found = row[key]
    if not isinstance(found, list) or not all(_whole(str(each)) == each != "" for each in found):
        raise MissingError(f"diskutil's answer has an unknown form: {key}")
    return found


def _whole(identifier: str) -> str:
    """The whole disk of a partition: disk2 for disk2s1."""
    found = re.match(r"disk[0-9]+(?![0-9])", identifier)
    return found[0] if found else ""


def _mounts(rows: list[dict[str, Any]]) -> dict[str, list[Mount]]:
    """Disk → its mounts; the volumes of an APFS container count for the disks of its stores."""
    found: dict[str, list[Mount]] = defaultdict(list)
    for row in rows:
        disks = _disks_of(row)
        for volume in [row, *_rows(row, "Partitions"), *_rows(row, "APFSVolumes")]:
            points = [volume.get("MountPoint", "")]
            points += [
                each.get("SnapshotMountPoint", "") for each in _rows(volume, "MountedSnapshots")
            ]
            for point in filter(None, points):
                if not isinstance(point, str):
                    raise MissingError("diskutil's answer has an unknown form: MountPoint")
                mount = Mount(f"/dev/{volume.get('DeviceIdentifier', '')}", point, "")
                for disk in disks:
                    found[disk].append(mount)
    return found


def _disks_of(row: dict[str, Any]) -> set[str]:
    """The disks of a row: its own, or those below an APFS container."""
    stores = _rows(row, "APFSPhysicalStores")
    names = [each.get("DeviceIdentifier") or each.get("APFSPhysicalStore") for each in stores]
    disks = {_whole(str(name)) for name in names or [row.get("DeviceIdentifier")]}
    if "" in disks:
        raise MissingError("diskutil does not tell which disk a volume is on")
    return disks


def _members(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Disk → the set that it is a member of, by the types of its partitions."""
    return {
        disk: str(part["Content"])
        for row in rows
        for part in [row, *_rows(row, "Partitions")]
        if str(part.get("Content", "")).startswith(_MEMBERS)
        for disk in _disks_of(row)
    }


def _bytes(about: dict[str, Any], *keys: str) -> int:
    """The first of those numbers that is present; else 0."""
    found = [about[key] for key in keys if about.get(key)]
    return found[0] if found and isinstance(found[0], int) and found[0] > 0 else 0


def _unknown(about: dict[str, Any], name: str) -> str:
    """The facts that diskutil does not give, or gives in unknown words; or ''."""
    kind, bus = about.get("VirtualOrPhysical"), about.get("BusProtocol")
    wanted = {
        "WholeDisk": about.get("WholeDisk") is True,
        "Internal": isinstance(about.get("Internal"), bool),
        "DeviceIdentifier": about.get("DeviceIdentifier") == name,
        "DeviceNode": about.get("DeviceNode") == f"/dev/{name}",
        "VirtualOrPhysical": kind == "Physical" or (kind == "Virtual" and bus == "Disk Image"),
    }
    return ", ".join(key for key, known in wanted.items() if not known)


def _device(about: dict[str, Any], name: str, mounts: list[Mount], member: str) -> Device:
    external = about.get("Internal") is False or about.get("RemovableMedia") is True
    refusals, unmount = [], []
    for mount in mounts:
        if mount.target in _SYSTEM or mount.target.startswith(_SYSTEM_VOLUMES):
            refusals.append(Refusal(Reason.SYSTEM, f"contains {mount.target}"))
        elif external and mount.target.startswith(_MEDIA):
            unmount.append(mount)
        else:
            refusals.append(Refusal(Reason.MOUNTED, f"is mounted at {mount.target}"))
    size = _bytes(about, "Size", "TotalSize")
    read_only = about.get("WritableMedia") is not True
    unknown = _unknown(about, name)
    for applies, reason, text in (
        (member, Reason.IN_USE, f"is a member of a {member} set"),
        (unknown, Reason.UNKNOWN, f"has unknown facts: diskutil's {unknown}"),
        (not size, Reason.NO_MEDIUM, "has no medium in it"),
        (size and read_only, Reason.READ_ONLY, "is write-protected"),
        (not external, Reason.INTERNAL, "is an internal disk"),
    ):
        if applies:
            refusals.append(Refusal(reason, text))
    return Device(
        path=f"/dev/{name}",
        name=name,
        size=size,
        sector_size=_bytes(about, "DeviceBlockSize") or 512,
        model=str(about.get("MediaName") or about.get("IORegistryEntryName") or "").strip(),
        bus=_BUSES.get(str(about.get("BusProtocol", "")), Bus.OTHER),
        removable=about.get("RemovableMedia") is True,
        external=external,
        read_only=read_only,
        mounts=tuple(mounts),
        unmount=() if refusals else tuple(unmount),
        refusals=tuple(refusals),
    )


@dataclass(frozen=True, slots=True)
class MacDisks:
    """The disks of this Mac."""

    ask: Ask = ask_diskutil

    def devices(self) -> Iterator[Device]:
        """All physical whole disks, and disk images; not containers."""
        listed = _plist(self.ask(("list", "-plist")))
        if not {"WholeDisks", "AllDisksAndPartitions"} <= listed.keys():
            raise MissingError("diskutil does not list the disks")
        rows = _rows(listed, "AllDisksAndPartitions")
        mounts, members = _mounts(rows), _members(rows)
        for name in _names(listed, "WholeDisks"):
            about = _plist(self.ask(("info", "-plist", name)))
            if (
                about.get("VirtualOrPhysical") != "Virtual"
                or about.get("BusProtocol") == "Disk Image"
            ):
                yield _device(about, name, mounts[name], members.get(name, ""))

    def find(self, path: str) -> Device:
        """The disk with that path, or with its raw path (/dev/rdisk2)."""
        wanted = path.replace("/dev/rdisk", "/dev/disk")
        for device in self.devices():
            if device.path == wanted:
                return device
            if _whole(wanted.removeprefix("/dev/")) == device.name:
                raise UnsafeTarget(
                    "is a partition, not a whole disk", where=path, hint=f"use {device.path}"
                )
        raise InputError("is not a disk", where=path, hint="`zpp-image devices` lists disks")
