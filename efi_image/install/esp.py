"""The ESP of this machine: a mounted FAT volume, and its partition in the disk's GPT."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from efi_image.devices.efivars import Efivars
from efi_image.devices.sysfs import Node, nodes, number, text
from efi_image.devices.uses import System
from efi_image.errors import InputError, MissingError, OutputError, UnsafeTarget, reason_of
from efi_image.formats.disk import Scheme, open_disk
from efi_image.formats.gpt.types import ESP
from efi_image.formats.load_option import GptPartition

_HINT = "give the mount point of the EFI system partition, such as /boot/efi"
_FAT = "vfat"  # with long names


@dataclass(frozen=True, slots=True)
class Machine:
    """Where Linux shows the machine; tests have folders of their own."""

    system: System = field(default_factory=System)
    dev: Path = Path("/dev")

    @property
    def efivars(self) -> Efivars:
        """The firmware's variables."""
        return Efivars(self.system.sys / "firmware/efi/efivars")

    @property
    def firmware_bits(self) -> int:
        """Whether the firmware has 32 or 64 bits; 0 if the kernel does not say."""
        return number(self.system.sys / "firmware/efi/fw_platform_size")


@dataclass(frozen=True, slots=True)
class Esp:
    """A mounted ESP; `device` is its partition's file in /dev."""

    path: Path
    device: str
    partition: GptPartition


@dataclass(frozen=True, slots=True)
class _Mount:
    devno: str
    root: str
    filesystem: str
    options: frozenset[str]


def _mount_at(proc: Path, target: str) -> _Mount | None:
    """What is mounted at a path; of several mounts the last hides the others."""
    found = None
    for line in text(proc / "self/mountinfo").splitlines():
        head, _, tail = line.partition(" - ")
        words, more = head.split(" "), tail.split(" ")
        if len(words) < 6 or len(more) < 3:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words[4])
        if place == target:
            options = frozenset([*words[5].split(","), *more[2].split(",")])
            found = _Mount(words[2], words[3], more[0], options)
    return found


def find_esp(path: str | Path, machine: Machine) -> Esp:
    """The ESP that is mounted at that path.

    Raises InputError if there is no such directory, UnsafeTarget if it is not an ESP, OutputError
    if this user cannot write to it, and MissingError on other systems than Linux.
    """
    where = str(path)
    real = os.path.realpath(path)
    try:
        os.listdir(real)  # noqa: PTH208
    except PermissionError:
        raise OutputError("cannot be read", where=where, hint="run as root") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be opened: {reason_of(error)}", where=where) from None
    if not (machine.system.proc / "self/mountinfo").exists():
        raise MissingError(
            "this system does not show what is mounted", where=where,
            hint="run this on a Linux that has /proc",
        )  # fmt: skip
    mount = _mount_at(machine.system.proc, real)
    if mount is None:
        raise UnsafeTarget("is not a mount point", where=where, hint=_HINT)
    if mount.filesystem != _FAT:
        raise UnsafeTarget(f"is {mount.filesystem}, not FAT", where=where, hint=_HINT)
    if mount.root != "/":
        raise UnsafeTarget(
            f"is the directory {mount.root} of a volume, not its root", where=where, hint=_HINT
        )
    node = next((n for n in nodes(machine.system.sys) if n.number == mount.devno), None)
    if node is None or not node.disk:
        on = node.path if node else f"device {mount.devno}"
        raise UnsafeTarget(
            f"is on {on}, which is not a partition of a disk", where=where, hint=_HINT
        )
    partition = _partition(node, machine, where)
    if "ro" in mount.options:
        raise OutputError("is mounted read-only", where=where, hint=f"mount -o remount,rw {real}")
    if not os.access(real, os.W_OK):
        raise OutputError("is write-protected", where=where, hint="run as root")
    return Esp(Path(real), node.path, partition)


def _partition(node: Node, machine: Machine, where: str) -> GptPartition:
    """The partition as the disk's own table has it, because the firmware reads that one."""
    disk_path = machine.dev / node.disk.replace("!", "/")
    wanted = str(number(node.folder / "partition"))
    with open_disk(disk_path) as disk:
        if disk.scheme is not Scheme.GPT or disk.gpt is None:
            raise UnsafeTarget(f"its disk {disk_path} has no GPT", where=where, hint=_HINT)
        entry = next((e for e in disk.gpt.best.entries if str(e.number) == wanted), None)
    if entry is None:
        raise UnsafeTarget(f"the GPT of {disk_path} has no partition {wanted}", where=where)
    if entry.type_guid != ESP.guid:
        raise UnsafeTarget(
            f"is a partition of the type '{entry.type_name}', not an EFI system partition",
            where=where, hint=_HINT,
        )  # fmt: skip
    return GptPartition(entry.number, entry.first_lba, entry.sectors, entry.guid)
