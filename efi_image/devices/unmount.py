"""Unmounts file systems and ejects a medium on Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from efi_image.devices.model import Mount
from efi_image.errors import OutputError

_UMOUNT_NOFOLLOW = 8
# <scsi/sg.h>
_SG_IO = 0x2285
_SG_NO_DATA = -1
_TIMEOUT = 30_000  # ms
_ALLOW_REMOVAL = bytes((0x1E, 0, 0, 0, 0, 0))  # the kernel prevented it when the disk was opened
_EJECT = bytes((0x1B, 0, 0, 0, 0x02, 0))  # START STOP UNIT (SBC): stop and eject


def unmount(mounts: Iterable[Mount]) -> None:
    """Unmount file systems, the deepest first; raises OutputError."""
    libc = ctypes.CDLL(None, use_errno=True)
    for mount in sorted(mounts, key=lambda each: each.target.count("/"), reverse=True):
        if libc.umount2(os.fsencode(mount.target), _UMOUNT_NOFOLLOW) == 0:
            continue
        error = ctypes.get_errno()
        hint = {
            errno.EBUSY: f"a program has a file open there: `fuser -vm {mount.target}`",
            errno.EPERM: "run it as root",
        }.get(error, "")
        raise OutputError(
            f"cannot be unmounted: {os.strerror(error)}", where=mount.target, hint=hint
        )


def eject(descriptor: int) -> bool:
    """Stop and eject the medium; False if the device cannot."""
    _command(descriptor, _ALLOW_REMOVAL)
    return _command(descriptor, _EJECT)


def _command(descriptor: int, words: bytes) -> bool:
    """Send a SCSI command without data; False if it failed."""
    import fcntl  # noqa: PLC0415

    command = ctypes.create_string_buffer(words, len(words))
    sense = ctypes.create_string_buffer(32)
    # struct sg_io_hdr of a 64-bit kernel
    header = bytearray(
        struct.pack(
            "=iiBBHIQQQIIi4xQBBBBHHiII4x",
            ord("S"), _SG_NO_DATA, len(words), len(sense), 0, 0,
            0, ctypes.addressof(command), ctypes.addressof(sense), _TIMEOUT, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0,
        )
    )  # fmt: skip
    try:
        fcntl.ioctl(descriptor, _SG_IO, header)
    except OSError:
        return False
    status, _, _, _, host, driver = struct.unpack_from("=BBBBHH", header, 64)
    return not (status or host or driver)
