"""The disks of a Linux system, and the reasons not to write to each.

A disk is in use if anything stacked on it is: partitions, LVM, LUKS, RAID, bcache, loop files,
btrfs and ZFS with several disks. Unknown stacks count as use. When a disk is opened, the kernel's
own refusal of a second exclusive user (O_EXCL) is the last line of defence.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from efi_image.devices.model import Device, Mount, Reason, Refusal
from efi_image.devices.sysfs import Node, in_dev, nodes, number, text, udev_data
from efi_image.devices.uses import System, Uses, read_stack, read_uses
from efi_image.errors import InputError, UnsafeTarget, reason_of

_MAX_SECTOR = 4096  # bytes; a write notes its progress in blocks of this size
# Where desktops mount media; a write unmounts only these by itself.
_MEDIA = ("/media", "/run/media", "/mnt")
# Parts of a system, and a live system's own medium.
_SYSTEM = (
    "/boot /efi /usr /var /home /etc /opt /srv /root /bin /sbin /lib /lib64 /nix /gnu /snap"
    " /sysroot /ostree /cdrom /isodevice /run/live /run/initramfs /lib/live /rofs"
).split()


def _below(target: str, folders: tuple[str, ...] | list[str]) -> bool:
    return any(PurePosixPath(target).is_relative_to(folder) for folder in folders)


def _is_system(target: str) -> bool:
    return target == "/" or _below(target, _SYSTEM)


class _UseCheck:
    """Finds out what one disk is used for."""

    def __init__(self, uses: Uses, node: Node) -> None:
        self._uses = uses
        self._node = node
        self._external = node.external
        self.mounts: list[Mount] = []
        self.unmount: list[Mount] = []
        self.refusals: dict[Refusal, None] = {}

    def run(self) -> None:
        """Look at everything that is stacked on the disk."""
        for chain in self._uses.stack(self._node.name):
            through = self._through(chain)
            for use in self._uses.others[chain[-1]]:
                self._refuse(Reason.SYSTEM, f"contains {use}{through}")
            for mount in self._uses.mounts[chain[-1]]:
                self._check_mount(mount, direct=not through, through=through)
            for program in sorted(self._uses.programs[chain[-1]]):
                self._refuse(Reason.IN_USE, f"is open in {program}{through}")
            if through and not self._is_explained(chain):
                self._refuse(
                    Reason.IN_USE, f"is used by {self._title(chain[-1])}{self._through(chain[:-1])}"
                )
        self._check_disk()

    def _check_mount(self, mount: Mount, *, direct: bool, through: str) -> None:
        self.mounts.append(mount)
        if _is_system(mount.target):
            self._refuse(Reason.SYSTEM, f"contains {mount.target}{through}")
        elif direct and self._external and _below(mount.target, _MEDIA):
            self.unmount.append(mount)
        else:
            self._refuse(Reason.MOUNTED, f"is mounted at {mount.target}{through}")

    def _check_disk(self) -> None:
        folder = self._node.folder
        if in_dev(behind := self._node.backing_file):
            self._refuse(Reason.IN_USE, f"is another name of {behind}")
        if not self._node.size:
            self._refuse(Reason.NO_MEDIUM, "has no medium in it")
        if text(folder / "ro") == "1":
            self._refuse(Reason.READ_ONLY, "is write-protected")
        if self._node.sector_size > _MAX_SECTOR:
            self._refuse(Reason.UNKNOWN, f"has sectors of {self._node.sector_size} bytes")
        if not self._external:
            self._refuse(Reason.INTERNAL, "is an internal disk")

    def _is_explained(self, chain: tuple[str, ...]) -> bool:
        """Whether a mount or another use, here or above, says more than the device's name."""
        top = chain[-1]
        above = [each[-1] for each in self._uses.stack(top)]
        return any(self._uses.mounts[name] or self._uses.others[name] for name in above)

    def _title(self, name: str) -> str:
        node = self._uses.nodes.get(name)
        return node.title if node else name

    def _through(self, chain: tuple[str, ...]) -> str:
        """The devices between the disk or its partition and the last one, as words."""
        names = [name for name in chain if self._is_stacked(name)]
        return f" through {', '.join(map(self._title, names))}" if names else ""

    def _is_stacked(self, name: str) -> bool:
        node = self._uses.nodes.get(name)
        return name != self._node.name and (node is None or node.disk != self._node.name)

    def _refuse(self, reason: Reason, what: str) -> None:
        self.refusals[Refusal(reason, what)] = None


_ORDER = list(Reason)  # of refusals: the most important first


# serial number → the disks with it that have a medium
_Serials = dict[str, list[Node]]


def _serials(system: System, uses: Uses) -> _Serials:
    found: _Serials = defaultdict(list)
    for node in uses.nodes.values():
        if node.is_disk and node.size:
            found[node.serial(udev_data(system.run, node.number))].append(node)
    return found


def _device(system: System, uses: Uses, node: Node, serials: _Serials) -> Device:
    serial = node.serial(udev_data(system.run, node.number))
    twins = [other.path for other in serials.get(serial, []) if serial and other is not node]
    check = _UseCheck(uses, node)
    check.run()
    found = sorted(check.refusals, key=lambda refusal: _ORDER.index(refusal.reason))
    return Device(
        path=node.path,
        name=node.name,
        size=node.size,
        sector_size=node.sector_size,
        model=node.model,
        serial=serial,
        twin=twins[0] if twins else "",
        bus=node.bus,
        removable=text(node.folder / "removable") == "1",
        external=node.external,
        read_only=text(node.folder / "ro") == "1",
        diskseq=number(node.folder / "diskseq"),
        mounts=tuple(dict.fromkeys(check.mounts)),
        unmount=() if found else tuple(dict.fromkeys(check.unmount)),
        refusals=tuple(found),
    )


@dataclass(frozen=True, slots=True)
class LinuxDisks:
    """The disks of this machine, read again with every call."""

    system: System = field(default_factory=System)

    def devices(self) -> Iterator[Device]:
        """All whole disks, and loop devices that have a file."""
        uses = read_uses(self.system)
        serials = _serials(self.system, uses)
        for node in uses.nodes.values():
            if node.is_disk:
                yield _device(self.system, uses, node, serials)

    def find(self, path: str) -> Device:
        """The disk with that path; raises InputError if there is none, or UnsafeTarget if it is not
        a whole disk."""
        status = _status(path)
        if not stat.S_ISBLK(status.st_mode):
            raise InputError("is not a block device", where=path)
        return self.find_number(_devno(status.st_rdev), path)

    def find_number(self, devno: str, path: str) -> Device:
        """The disk with that MAJOR:MINOR; `path` names it in messages. Raises as `find`."""
        uses = read_uses(self.system)
        node = next((node for node in uses.nodes.values() if node.number == devno), None)
        if node is None:
            raise InputError("does not exist", where=path)
        if node.disk:
            disk = uses.nodes[node.disk].path
            raise UnsafeTarget("is a partition, not a whole disk", where=path, hint=f"use {disk}")
        if not node.is_disk:
            raise UnsafeTarget(
                "is not a disk that can boot", where=path, hint="`zpp-image devices` lists disks"
            )
        return _device(self.system, uses, node, _serials(self.system, uses))

    def first_on(self, device: Device, paths: Iterable[str]) -> str:
        """The first path that is on that disk, through any stack, or is the disk or a part of it.

        '' if none is; raises InputError for a path that cannot be read.
        """
        uses = read_stack(self.system)
        stack = {chain[-1] for chain in uses.stack(device.name)}
        seen = set()
        for path in paths:
            status = _status(path)
            if stat.S_ISBLK(status.st_mode):
                below = {uses.finder.number(_devno(status.st_rdev))}
            elif status.st_dev in seen:
                continue
            else:
                seen.add(status.st_dev)
                below = uses.finder.of_file(os.path.realpath(path))
            if stack & below:
                return path
        return ""

    def attached(self, path: str) -> str:
        """The loop device of a file, or ''."""
        real = os.path.realpath(path)
        return next((node.path for node in nodes(self.system.sys) if node.backing_file == real), "")


def _status(path: str) -> os.stat_result:
    try:
        return Path(path).stat()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be opened: {reason_of(error)}", where=path) from None


def _devno(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"
