"""The disks of Windows, from PowerShell's Storage module in JSON.

Tested with recorded answers only, not on Windows. A disk with missing or unknown facts is not a
safe target.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from efi_image.devices.model import Bus, Device, Mount, Reason, Refusal
from efi_image.errors import InputError, MissingError

_TIMEOUT = 60  # seconds

# @(…) makes an array of one an array.
QUERY = """
$ErrorActionPreference = 'Stop'
[Console]::OutputEncoding = [System.Text.Encoding]::UTF8
@{
  disks = @(Get-Disk | Select-Object Number, FriendlyName, SerialNumber, Size,
            LogicalSectorSize, BusType, IsBoot, IsSystem, IsReadOnly, IsOffline, IsClustered)
  partitions = @(Get-Partition | Select-Object DiskNumber, PartitionNumber, AccessPaths,
            IsBoot, IsSystem)
  pagefiles = @(Get-CimInstance Win32_PageFileUsage | Select-Object Name)
} | ConvertTo-Json -Depth 4 -Compress
"""

# MSFT_Disk.BusType, as a name or a number
_BUSES = {
    "SCSI": Bus.SCSI, 1: Bus.SCSI,
    "ATA": Bus.SATA, 3: Bus.SATA,
    "1394": Bus.FIREWIRE, 4: Bus.FIREWIRE,
    "Fibre Channel": Bus.FIBRE, 6: Bus.FIBRE,
    "USB": Bus.USB, 7: Bus.USB,
    "iSCSI": Bus.ISCSI, 9: Bus.ISCSI,
    "SAS": Bus.SCSI, 10: Bus.SCSI,
    "SATA": Bus.SATA, 11: Bus.SATA,
    "SD": Bus.MMC, 12: Bus.MMC,
    "File Backed Virtual": Bus.LOOP, 15: Bus.LOOP,
    "NVMe": Bus.NVME, 17: Bus.NVME,
}  # fmt: skip
_FLAGS = ("IsBoot", "IsSystem", "IsReadOnly", "IsOffline", "IsClustered")
_EXTERNAL = {Bus.USB, Bus.MMC, Bus.FIREWIRE, Bus.LOOP}

Ask = Callable[[str], bytes]


def ask_powershell(script: str) -> bytes:
    """The answer of PowerShell; raises MissingError."""
    command = ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", script]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_TIMEOUT)
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingError(f"PowerShell failed: {error}") from None
    return done.stdout


Row = dict[str, Any]


def _rows(answer: Row, key: str) -> list[Row]:
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise MissingError(
            f"PowerShell's answer has an unknown form: {key} is not a list of objects"
        )
    return found


def _is_known(partition: Row) -> bool:
    """Whether the partition's mounts are known: a list, one path, or none."""
    paths = partition.get("AccessPaths", False)
    many = isinstance(paths, list) and all(isinstance(path, str) for path in paths)
    return many or paths is None or isinstance(paths, str)


def _paths(partition: Row) -> list[str]:
    """The mounts of a partition; the volume's own name is not one."""
    paths = partition.get("AccessPaths")
    listed = paths if isinstance(paths, list) else [paths]
    return [path for path in listed if isinstance(path, str) and not path.startswith("\\\\?\\")]


def _bytes(row: Row, key: str) -> int:
    found = row.get(key)
    return found if isinstance(found, int) and found > 0 else 0


def _unknown(disk: Row, partitions: list[Row]) -> str:
    """The facts that Windows does not give, or gives in unknown words; or ''."""
    asked = {key: isinstance(disk.get(key), bool) for key in _FLAGS}
    for key in ("IsBoot", "IsSystem"):
        asked[key] &= all(isinstance(part.get(key), bool) for part in partitions)
    asked["AccessPaths"] = all(map(_is_known, partitions))
    return ", ".join(key for key, known in asked.items() if not known)


def _disk_of(partition: Row, numbers: list[object]) -> object:
    """The number of its disk; None if it is unknown."""
    number = partition.get("DiskNumber")
    return number if type(number) is int and number in numbers else None


def _is_below(file: str, mount: str) -> bool:
    return file.lower().startswith(mount.lower())


def _device(disk: Row, partitions: list[Row], pagefiles: list[str], lost: list[str]) -> Device:
    """`lost` are page files that are on no known disk."""
    kind = disk.get("BusType")
    bus = _BUSES.get(kind, Bus.OTHER) if isinstance(kind, (str, int)) else Bus.OTHER
    external = bus in _EXTERNAL
    mounts = [Mount("", path, "") for part in partitions for path in _paths(part)]
    refusals = []
    if any(row.get("IsBoot") or row.get("IsSystem") for row in (disk, *partitions)):
        refusals.append(Refusal(Reason.SYSTEM, "contains Windows or its boot files"))
    unknown = _unknown(disk, partitions)
    for page in pagefiles:
        if any(_is_below(page, mount.target) for mount in mounts):
            refusals.append(Refusal(Reason.SYSTEM, f"contains swap in {page}"))
    for page in lost:
        refusals.append(Refusal(Reason.UNKNOWN, f"may contain swap in {page or 'an unknown file'}"))
    if not external:
        text = "is mounted at {}"
        refusals += [Refusal(Reason.MOUNTED, text.format(mount.target)) for mount in mounts]
    size = _bytes(disk, "Size")
    for applies, reason, text in (
        (not size, Reason.NO_MEDIUM, "has no medium in it"),
        (disk.get("IsReadOnly"), Reason.READ_ONLY, "is write-protected"),
        (disk.get("IsOffline"), Reason.IN_USE, "is offline: another path or system may use it"),
        (disk.get("IsClustered"), Reason.IN_USE, "belongs to a cluster"),
        (unknown, Reason.UNKNOWN, f"has unknown facts: Windows' {unknown}"),
        (not external, Reason.INTERNAL, "is an internal disk"),
    ):
        if applies:
            refusals.append(Refusal(reason, text))
    return Device(
        path=f"\\\\.\\PhysicalDrive{disk.get('Number')}",
        name=f"PhysicalDrive{disk.get('Number')}",
        size=size,
        sector_size=_bytes(disk, "LogicalSectorSize") or 512,
        model=" ".join(str(disk.get("FriendlyName") or "").split()),
        serial=str(disk.get("SerialNumber") or "").strip(),
        bus=bus,
        removable=bus in {Bus.USB, Bus.MMC},
        external=external,
        read_only=bool(disk.get("IsReadOnly")),
        mounts=tuple(mounts),
        unmount=tuple(mounts) if external and not refusals else (),
        refusals=tuple(refusals),
    )


@dataclass(frozen=True, slots=True)
class WindowsDisks:
    """The disks of this Windows system."""

    ask: Ask = ask_powershell

    def devices(self) -> Iterator[Device]:
        """All disks; Windows does not list members of a storage pool."""
        try:
            found = json.loads(self.ask(QUERY).decode("utf-8-sig"))
        except ValueError as error:
            raise MissingError(f"PowerShell's answer is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise MissingError("PowerShell's answer is not an object")
        pagefiles = [str(row.get("Name", "")) for row in _rows(found, "pagefiles")]
        disks, partitions = _rows(found, "disks"), _rows(found, "partitions")
        numbers = [disk.get("Number") for disk in disks]
        if len({number for number in numbers if type(number) is int}) < len(disks):
            raise MissingError("PowerShell does not give the number of a disk")
        known = [path for row in partitions for path in _paths(row)]
        lost = [page for page in pagefiles if not any(_is_below(page, path) for path in known)]
        for disk, number in zip(disks, numbers, strict=True):
            # a row without a disk may belong to any disk
            own = [row for row in partitions if _disk_of(row, numbers) in (number, None)]
            yield _device(disk, own, pagefiles, lost)

    def find(self, path: str) -> Device:
        """The disk with that path, such as \\\\.\\PhysicalDrive2."""
        for device in self.devices():
            if device.path.lower() == path.lower():
                return device
        raise InputError("is not a disk", where=path, hint="`zpp-image devices` lists disks")
