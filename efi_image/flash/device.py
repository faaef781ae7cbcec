"""Opens a disk of this Linux system for writing, and makes sure that it is the one meant."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path

from efi_image.devices.linux import LinuxDisks
from efi_image.devices.model import Device, Reason
from efi_image.devices.sysfs import number
from efi_image.devices.unmount import unmount
from efi_image.errors import OutputError, UnsafeTarget
from efi_image.flash.target import Abilities, Target

# <linux/fs.h>
BLKSSZGET = 0x1268
BLKROGET = 0x125E
BLKGETSIZE64 = 0x80081272
BLKGETDISKSEQ = 0x80081280

_LOCK_TRIES = 50  # udev holds its lock while it looks at a disk
_LOCK_WAIT = 0.1  # seconds


def refuse(device: Device, *, internal: bool = False) -> None:
    """Raise UnsafeTarget unless the disk may be written; `internal` disks only if asked for."""
    found = [r for r in device.refusals if not (internal and r.reason is Reason.INTERNAL)]
    if not found:
        return
    others = "; it ".join(refusal.text for refusal in found)
    only_internal = all(refusal.reason is Reason.INTERNAL for refusal in found)
    hint = "--internal allows that" if only_internal else ""
    raise UnsafeTarget(others, where=device.path, hint=hint)


def _same(before: Device, now: Device) -> str:
    """What tells two devices apart, or ''."""
    for what in ("path", "serial", "size", "model", "diskseq", "sector_size"):
        if getattr(before, what) != getattr(now, what):
            return what
    return ""


def _number(descriptor: int, request: int, form: str) -> int | None:
    try:
        answer = fcntl.ioctl(descriptor, request, bytes(struct.calcsize(form)))
    except OSError:
        return None
    found: int = struct.unpack(form, answer)[0]
    return found


def _check_open(descriptor: int, device: Device, disks: LinuxDisks, internal: bool) -> str:
    """See that what was opened is the disk that was confirmed; its MAJOR:MINOR."""
    status = os.fstat(descriptor)
    if not stat.S_ISBLK(status.st_mode):
        raise UnsafeTarget("is no block device any more", where=device.path)
    devno = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    now = disks.find_number(devno, device.path)
    asked = (
        ("size", _number(descriptor, BLKGETSIZE64, "=Q"), device.size),
        ("diskseq", _number(descriptor, BLKGETDISKSEQ, "=Q"), device.diskseq),
        ("sector_size", _number(descriptor, BLKSSZGET, "=i"), device.sector_size),
    )
    other = _same(device, now) or next(
        (name for name, found, wanted in asked if found is not None and wanted and found != wanted),
        "",
    )
    if other:
        raise UnsafeTarget(
            f"is another disk than the one that was confirmed (its {other} differs)",
            where=device.path,
        )
    refuse(now, internal=internal)
    if _number(descriptor, BLKROGET, "=i"):
        raise UnsafeTarget("is write-protected", where=device.path)
    return devno


def _lock(descriptor: int, device: Device) -> None:
    """Keep udev and those who follow its rule away (systemd's BLOCK_DEVICE_LOCKING)."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_LOCK_WAIT)
        else:
            return
    raise UnsafeTarget("is locked by another program", where=device.path)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise UnsafeTarget(
                "is in use, the kernel says", where=path, hint="is it part of a pool or an array?"
            ) from None
        if error.errno in {errno.EROFS, errno.ENOMEDIUM}:
            raise UnsafeTarget(f"cannot be written: {error.strerror}", where=path) from None
        denied = error.errno in {errno.EACCES, errno.EPERM}
        hint = "run it as root, or with sudo" if denied else ""
        raise OutputError(f"cannot be opened: {error.strerror}", where=path, hint=hint) from None


def _gone(disks: LinuxDisks, device: Device, devno: str) -> Callable[[], bool]:
    place = disks.system.sys / "dev/block" / devno

    def gone() -> bool:
        return not place.exists() or number(place / "diskseq") != device.diskseq

    return gone


def _abilities(folder: Path) -> Abilities:
    queue = folder / "queue"
    return Abilities(
        zeroes=number(queue / "write_zeroes_max_bytes") > 0,
        discards=number(queue / "discard_granularity")
        if number(queue / "discard_max_bytes") > 0
        else 0,
    )


def unmount_confirmed(before: Device, now: Device) -> None:
    """Unmount what was said to be; raises UnsafeTarget if that is not what is there now.

    Folders are unmounted by their names, and another disk may be mounted there meanwhile.
    """
    other = _same(before, now) or ("use" if before.unmount != now.unmount else "")
    if other:
        raise UnsafeTarget(
            f"is not as it was when it was confirmed (its {other} differs)", where=before.path
        )

    unmount(before.unmount)


def open_device(device: Device, disks: LinuxDisks, *, internal: bool = False) -> Target:
    """The disk, for this process alone; raises UnsafeTarget or OutputError.

    What `device` told when it was confirmed is compared with what is there after opening.
    """
    descriptor = _open(device.path)
    try:
        devno = _check_open(descriptor, device, disks, internal)
        _lock(descriptor, device)
    except BaseException:
        os.close(descriptor)
        raise
    return Target(
        device.path,
        device.size,
        device.sector_size,
        descriptor,
        is_block=True,
        abilities=_abilities(disks.system.sys / "dev/block" / devno),
        gone=_gone(disks, device, devno),
    )
