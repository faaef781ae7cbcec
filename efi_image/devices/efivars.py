"""The firmware's variables as Linux shows them: efivarfs.

A file for each variable, named NAME-GUID: four bytes of attributes, then the data
(Documentation/filesystems/efivarfs.rst). One write() sets the whole variable.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import InputError, MissingError, OutputError, reason_of

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
IMAGE_SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
ZPP = "c1b6d9f4-5a3e-4f0b-9d27-6e41a8b3f502"  # ZppBoot's and ZppDxe's
FOLDER = Path("/sys/firmware/efi/efivars")
PERSISTENT = 0x7  # non-volatile, for boot services, for the running system
_ATTRIBUTES = 4  # bytes
_FULL = (errno.ENOSPC, errno.EDQUOT)
# linux/fs.h; the kernel reads and writes an int in spite of the long in the number
_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16
_SET_FLAGS = 0x40006602 | struct.calcsize("l") << 16
_IMMUTABLE = 0x10


@dataclass(frozen=True, slots=True)
class Variable:
    """The attributes and the data of a variable."""

    attributes: int
    data: bytes


class Efivars:
    """The variables in a folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def require(self) -> None:
        """Raise MissingError unless the firmware's variables are there."""
        if not any(self.names()):
            raise MissingError(
                "the firmware's variables are not there", where=str(self.folder),
                hint="boot this system with UEFI, and run `mount -t efivarfs efivarfs "
                f"{self.folder}` if nothing is mounted there",
            )  # fmt: skip

    def names(self, guid: str = GLOBAL) -> list[str]:
        """The names of a vendor's variables, sorted."""
        try:
            found = [each.name for each in os.scandir(self.folder)]
        except OSError:
            return []
        end = f"-{guid}"
        return sorted(name.removesuffix(end) for name in found if name.lower().endswith(end))

    def _path(self, name: str, guid: str) -> Path:
        return self.folder / f"{name}-{guid}"

    def read(self, name: str, guid: str = GLOBAL) -> Variable | None:
        """A variable; None if it does not exist, or was created but not written yet."""
        path = self._path(name, guid)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot be read: {reason_of(error)}", where=str(path)) from None
        if len(data) <= _ATTRIBUTES:
            return None
        return Variable(int.from_bytes(data[:_ATTRIBUTES], "little"), data[_ATTRIBUTES:])

    def write(self, name: str, variable: Variable, guid: str = GLOBAL) -> None:
        """Set a variable; raises OutputError, and then it is as it was."""
        path = self._path(name, guid)
        existed = path.exists()
        try:
            with _mutable(path):
                _write(path, variable.attributes.to_bytes(_ATTRIBUTES, "little") + variable.data)
        except OSError as error:
            if not existed:
                with suppress(OSError):
                    path.unlink()
            raise _failed(path, error) from None

    def remove(self, name: str, guid: str = GLOBAL) -> None:
        """Delete a variable, if it exists; raises OutputError."""
        path = self._path(name, guid)
        try:
            with _mutable(path):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(path, error) from None

    def secure_boot(self) -> bool | None:
        """Whether Secure Boot is on; None if the firmware does not say."""
        found = self.read("SecureBoot")
        return found.data[0] == 1 if found and len(found.data) == 1 else None

    # ---- boot options

    def numbers(self) -> list[int]:
        """The numbers of all boot options."""
        return [int(n[4:], 16) for n in self.names() if re.fullmatch("Boot[0-9A-Fa-f]{4}", n)]

    def boot_order(self) -> list[int]:
        """The numbers in BootOrder."""
        found = self.read("BootOrder")
        data = found.data if found else b""
        return [number for (number,) in struct.iter_unpack("<H", data[: len(data) & ~1])]

    def set_boot_order(self, order: list[int]) -> None:
        """Set BootOrder, or delete it if it would be empty; raises OutputError."""
        if not order:
            self.remove("BootOrder")
            return
        old = self.read("BootOrder")
        data = struct.pack(f"<{len(order)}H", *order)
        self.write("BootOrder", Variable(old.attributes if old else PERSISTENT, data))


def option_name(number: int) -> str:
    """The name of a boot option's variable."""
    return f"Boot{number:04X}"


def _failed(path: Path, error: OSError) -> OutputError:
    if error.errno in _FULL:
        return OutputError(
            "cannot be written: the firmware's variable store is full", where=path.name,
            hint="delete boot options that you do not need with `efibootmgr -b NUMBER -B`",
        )  # fmt: skip
    hint = "run as root" if error.errno in {errno.EACCES, errno.EPERM} else ""
    return OutputError(f"cannot be written: {reason_of(error)}", where=path.name, hint=hint)


def _write(path: Path, data: bytes) -> None:
    # not O_TRUNC: until the one write, the variable keeps its value
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, data)
        if os.fstat(descriptor).st_size > len(data):  # never on efivarfs
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


@contextmanager
def _mutable(path: Path) -> Iterator[None]:
    """Clear the immutable flag that efivarfs gives to most variables, and set it again."""
    flags = _flags(path)
    if flags is None or not flags & _IMMUTABLE:
        yield
        return
    _set_flags(path, flags & ~_IMMUTABLE)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            _set_flags(path, flags)


def _flags(path: Path) -> int | None:
    """The inode's flags; None without the file, or where the file system has none."""
    import fcntl  # noqa: PLC0415

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))
        return int.from_bytes(found[:4], "little")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _set_flags(path: Path, flags: int) -> None:
    import fcntl  # noqa: PLC0415

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _SET_FLAGS, flags.to_bytes(8, "little"))
    finally:
        os.close(descriptor)
