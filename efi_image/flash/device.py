"""Finds a disk of this Linux system, and opens it if it is still the one that was confirmed."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import stat
import struct
import time
from dataclasses import dataclass

from efi_image.devices.linux import LinuxDisks
from efi_image.devices.model import Device, Reason
from efi_image.devices.unmount import unmount
from efi_image.errors import DoesNotFitError, OutputError, UnsafeTarget
from efi_image.flash.block_target import Abilities, BlockTarget
from efi_image.flash.options import Confirm, WriteOptions
from efi_image.flash.source import ImageSource

# <linux/fs.h>
BLKSSZGET = 0x1268
BLKROGET = 0x125E
BLKGETSIZE64 = 0x80081272
BLKGETDISKSEQ = 0x80081280

_LOCK_TRIES = 50  # udev keeps its lock while it looks at a disk
_LOCK_WAIT = 0.1  # seconds
_IDENTITY = ("path", "serial", "size", "model", "diskseq", "sector_size")


@dataclass(frozen=True, slots=True)
class DeviceDestination:
    """A whole disk, which may be written if the user confirms it."""

    options: WriteOptions
    disks: LinuxDisks
    device: Device

    @property
    def sector_size(self) -> int:
        return self.device.sector_size

    @property
    def serial(self) -> str:
        return self.device.serial

    def open(self, source: ImageSource, confirm: Confirm) -> BlockTarget:
        device = self.device
        inputs = [str(self.options.image), *source.files()]
        if found := self.disks.first_on(device, inputs):
            raise UnsafeTarget(f"contains {found}, an input of this write", where=device.path)
        for path in inputs:
            if self.disks.attached(path) == device.path:
                raise UnsafeTarget(f"is {path}, an input of this write", where=device.path)
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


def find_device(options: WriteOptions) -> DeviceDestination:
    """The disk that is the target; raises InputError if there is none, UnsafeTarget if it must
    not be written."""
    disks = LinuxDisks()
    device = disks.find(options.target)
    refuse(device, internal=options.internal)
    return DeviceDestination(options, disks, device)


def refuse(device: Device, *, internal: bool = False) -> None:
    """Raise UnsafeTarget unless the disk may be written; `internal` allows built-in disks."""
    found = [r for r in device.refusals if not (internal and r.reason is Reason.INTERNAL)]
    if not found:
        return
    hint = ""
    if all(refusal.reason is Reason.INTERNAL for refusal in found):
        hint = "if you mean this disk, add --internal"
    elif all(refusal.reason is Reason.MOUNTED for refusal in found):
        folders = [mount.target for mount in device.mounts if mount not in device.unmount]
        hint = f"unmount it first: `{shlex.join(['umount', *folders])}`"
    raise UnsafeTarget(
        "; it ".join(refusal.text for refusal in found), where=device.path, hint=hint
    )


def _difference(before: Device, now: Device) -> str:
    """The first fact by which two devices differ, or ''."""
    return next((name for name in _IDENTITY if getattr(before, name) != getattr(now, name)), "")


def unmount_confirmed(before: Device, now: Device) -> None:
    """Unmount the file systems that the user was told of; raises UnsafeTarget if they changed.

    File systems are unmounted by folder, and another disk may be mounted there by now.
    """
    changed = _difference(before, now) or ("use" if before.unmount != now.unmount else "")
    if changed:
        raise UnsafeTarget(
            f"has changed since it was confirmed (its {changed} differs)", where=before.path
        )
    unmount(before.unmount)


def open_device(device: Device, disks: LinuxDisks, *, internal: bool = False) -> BlockTarget:
    """The disk, for this process alone; raises UnsafeTarget or OutputError.

    What was opened is compared with `device`, which was confirmed.
    """
    descriptor = _open(device.path)
    try:
        devno = _check_open(descriptor, device, disks, internal)
        _lock(descriptor, device)
    except BaseException:
        os.close(descriptor)
        raise
    folder = disks.system.sys / "dev/block" / devno
    return BlockTarget(
        device.path,
        device.size,
        device.sector_size,
        descriptor,
        abilities=Abilities.of(folder),
        folder=folder,
        diskseq=device.diskseq,
    )


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise UnsafeTarget(
                "is in use according to the kernel",
                where=path,
                hint="it may be part of a pool or an array: see `lsblk`",
            ) from None
        if error.errno in {errno.EROFS, errno.ENOMEDIUM}:
            raise UnsafeTarget(f"cannot be written: {error.strerror}", where=path) from None
        denied = error.errno in {errno.EACCES, errno.EPERM}
        hint = "run it as root, or with sudo" if denied else ""
        raise OutputError(f"cannot be opened: {error.strerror}", where=path, hint=hint) from None


def _check_open(descriptor: int, device: Device, disks: LinuxDisks, internal: bool) -> str:
    """Check that the open disk is the one that was confirmed; its MAJOR:MINOR."""
    status = os.fstat(descriptor)
    if not stat.S_ISBLK(status.st_mode):
        raise UnsafeTarget("is not a block device any more", where=device.path)
    devno = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    now = disks.find_number(devno, device.path)
    asked = (
        ("size", _ask(descriptor, BLKGETSIZE64, "=Q"), device.size),
        ("diskseq", _ask(descriptor, BLKGETDISKSEQ, "=Q"), device.diskseq),
        ("sector_size", _ask(descriptor, BLKSSZGET, "=i"), device.sector_size),
    )
    changed = _difference(device, now) or next(
        (name for name, found, wanted in asked if found is not None and wanted and found != wanted),
        "",
    )
    if changed:
        raise UnsafeTarget(
            f"is another disk than the one that was confirmed (its {changed} differs)",
            where=device.path,
        )
    refuse(now, internal=internal)
    if _ask(descriptor, BLKROGET, "=i"):
        raise UnsafeTarget("is write-protected", where=device.path)
    return devno


def _ask(descriptor: int, request: int, form: str) -> int | None:
    """The number that an ioctl gives; None if the kernel does not know it."""
    try:
        answer = fcntl.ioctl(descriptor, request, bytes(struct.calcsize(form)))
    except OSError:
        return None
    found: int = struct.unpack(form, answer)[0]
    return found


def _lock(descriptor: int, device: Device) -> None:
    """Keep udev and programs that follow its rule away (systemd's BLOCK_DEVICE_LOCKING)."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_LOCK_WAIT)
        else:
            return
    raise UnsafeTarget("is locked by another program", where=device.path, hint="try it again")
