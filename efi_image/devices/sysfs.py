"""Block devices in Linux's sysfs (Documentation/ABI/stable/sysfs-block)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from efi_image.devices.model import Bus

SECTOR = 512  # sysfs counts in these, whatever the disk's own are

_BUSES = (
    (re.compile(r"/usb\d+/"), Bus.USB),
    (re.compile(r"/mmc_host/"), Bus.MMC),
    (re.compile(r"/fw\d+[./]"), Bus.FIREWIRE),
    (re.compile(r"/session\d+/"), Bus.ISCSI),
    (re.compile(r"/rport-"), Bus.FIBRE),
    (re.compile(r"/nvme"), Bus.NVME),
    (re.compile(r"/ata\d+/"), Bus.SATA),
    (re.compile(r"/virtio\d+/"), Bus.VIRTIO),
    (re.compile(r"/vbd-"), Bus.XEN),
    (re.compile(r"/block/loop\d+$"), Bus.LOOP),
    (re.compile(r"/block/(nbd|rbd|drbd|zd)\d+$"), Bus.NETWORK),
    (re.compile(r"/host\d+/"), Bus.SCSI),
)
# Not disks, or disks that cannot boot.
_OTHERS = re.compile(r"(dm-|md|ram|zram|sr|fd|bcache|zd|mtdblock)\d|md_|mmcblk\d+(boot|rpmb|gp)")


def text(path: Path) -> str:
    """A file's text without white space around it; '' if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip(" \t\r\n\0")
    except OSError:
        return ""


def number(path: Path) -> int:
    """A file's number; 0 if there is none."""
    found = text(path)
    return int(found) if found.isascii() and found.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Node:
    """A block device; `number` is MAJOR:MINOR, `disk` the whole disk of a partition."""

    name: str
    folder: Path
    number: str
    disk: str = ""

    @property
    def path(self) -> str:
        """Its file in /dev."""
        return "/dev/" + self.name.replace("!", "/")

    @property
    def size(self) -> int:
        """Bytes."""
        return number(self.folder / "size") * SECTOR

    @property
    def sector_size(self) -> int:
        """Bytes of a logical block."""
        return number(self.folder / "queue/logical_block_size") or SECTOR

    @property
    def title(self) -> str:
        """Its name, and its name in the device mapper."""
        mapped = text(self.folder / "dm/name")
        return f"{self.name} ({mapped})" if mapped else self.name

    @property
    def backing_file(self) -> str:
        """The file behind a loop device, or ''."""
        return text(self.folder / "loop/backing_file")

    def holders(self) -> list[str]:
        """The devices that are built on this one."""
        return names(self.folder / "holders")

    @property
    def is_disk(self) -> bool:
        """Whether it is a whole disk that is present."""
        if self.disk or _OTHERS.match(self.name) or text(self.folder / "hidden") == "1":
            return False
        return bool(self.size) if self.name.startswith(("loop", "nbd")) else True

    # ---- what it is

    @property
    def bus(self) -> Bus:
        """How it is attached."""
        place = str(self.folder)
        return next((bus for pattern, bus in _BUSES if pattern.search(place)), Bus.OTHER)

    def _usb(self) -> Path | None:
        """The folder of its USB device."""
        return next((up for up in self.folder.parents if (up / "idVendor").exists()), None)

    @property
    def external(self) -> bool:
        """Whether it, or its medium, is meant to be unplugged."""
        if self.bus is Bus.USB:
            usb = self._usb()
            return usb is None or text(usb / "removable") != "fixed"
        if self.bus is Bus.MMC:
            return text(self.folder / "device/type") == "SD"  # eMMC is soldered
        if self.bus in {Bus.FIREWIRE, Bus.LOOP}:
            return True
        # for SATA it only tells that the firmware calls the port hot-pluggable, as many call all
        return self.bus is not Bus.SATA and text(self.folder / "removable") == "1"

    @property
    def model(self) -> str:
        """Maker and model."""
        device = self.folder / "device"
        found = text(device / "model") or (text(device / "name") if self.bus is Bus.MMC else "")
        vendor = text(device / "vendor")
        named = vendor != "ATA" and not vendor.startswith("0x") and not found.startswith(vendor)
        return " ".join(f"{vendor if named else ''} {found}".split())

    def serial(self, udev: dict[str, str]) -> str:
        """The serial number: of the USB device, else of the disk, else from udev."""
        usb = self._usb() if self.bus is Bus.USB else None
        places = [usb / "serial"] if usb else []
        places += [self.folder / "serial", self.folder / "device/serial"]
        found = next((serial for place in places if (serial := text(place))), "")
        return found or _page_80(self.folder) or udev.get("ID_SERIAL_SHORT", "")


def _page_80(folder: Path) -> str:
    """The unit serial number page of a SCSI disk (SPC-4, vital product data)."""
    try:
        page = (folder / "device/vpd_pg80").read_bytes()
    except OSError:
        return ""
    return page[4 : 4 + int.from_bytes(page[2:4], "big")].decode("ascii", "replace").strip(" \0")


def in_dev(path: str) -> bool:
    """Whether a path is in /dev, but not in /dev/shm, which is memory."""
    parts = PurePosixPath(path).parts
    return parts[:2] == ("/", "dev") and parts[2:3] != ("shm",)


def names(folder: Path | str) -> list[str]:
    """The names in a folder; none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are enough
    except OSError:
        return []


def nodes(sys: Path) -> Iterator[Node]:
    """All block devices, including partitions."""
    for name in names(sys / "class/block"):
        folder = (sys / "class/block" / name).resolve()
        found = text(folder / "dev")
        if found:
            is_partition = (folder / "partition").exists()
            yield Node(name, folder, found, folder.parent.name if is_partition else "")


def udev_data(run: Path, devno: str) -> dict[str, str]:
    """The properties of a block device in udev's database."""
    lines = text(run / "udev/data" / f"b{devno}").splitlines()
    return dict(line[2:].partition("=")[::2] for line in lines if line.startswith("E:"))


def btrfs_members(sys: Path) -> list[set[str]]:
    """The block devices of each mounted btrfs file system."""
    return [set(names(each / "devices")) for each in sorted((sys / "fs/btrfs").glob("*-*"))]
