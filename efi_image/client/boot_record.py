"""The UEFI variable ZppBootRecord, with which ZppBoot counts failed boots (zpp/boot_record.h).

A system that is up deletes it: its boot has completed (docs/adr/0019).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import InputError, MissingError, OutputError, reason_of

FOLDER = Path("/sys/firmware/efi/efivars")
NAME = "ZppBootRecord-c1b6d9f4-5a3e-4f0b-9d27-6e41a8b3f502"
_LAYOUT = struct.Struct("<IBBB5xQ")  # efivarfs puts the attributes before the value
_VERSION = 1
_STARTED, _LEFT_OUT = 0, 1
# linux/fs.h; efivarfs marks variables that it does not know as immutable
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


@dataclass(frozen=True, slots=True)
class BootRecord:
    """How many boots with the hypervisor in a row nobody has seen complete, with this one."""

    boots: int
    left_out: bool  # ZppBoot leaves the hypervisor out until somebody asks for it


def read(folder: Path = FOLDER) -> BootRecord | None:
    """The record; None if there is none.

    Raises MissingError without UEFI variables, InputError for a record that cannot be read.
    """
    if not any(folder.glob("*")):
        raise MissingError(
            "has no UEFI variables",
            where=str(folder),
            hint="after a UEFI boot, `mount -t efivarfs efivarfs " + str(FOLDER) + "`",
        )
    try:
        data = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot be read ({reason_of(error)})", where=str(folder / NAME)) from None
    if len(data) == _LAYOUT.size:
        _attributes, version, boots, state, _time = _LAYOUT.unpack(data)
        if version == _VERSION and state in (_STARTED, _LEFT_OUT):
            return BootRecord(boots, state == _LEFT_OUT)
    raise InputError(
        "is not the record of this version of zpp; ZppBoot replaces it at the next boot",
        where=str(folder / NAME),
    )


def delete(folder: Path = FOLDER) -> None:
    """Delete the record; raises OutputError."""
    path = folder / NAME
    try:
        with suppress(OSError):  # a file system without flags; otherwise unlink() fails
            _make_mutable(path)
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot be deleted ({reason_of(error)})", where=str(path), hint="run this as root"
        ) from None


def _make_mutable(path: Path) -> None:
    import fcntl  # noqa: PLC0415

    with path.open("rb") as file:
        flags = bytearray(8)
        fcntl.ioctl(file, _GET_FLAGS, flags)
        (value,) = struct.unpack_from("<I", flags)
        fcntl.ioctl(file, _SET_FLAGS, struct.pack("<Q", value & ~_IMMUTABLE))
