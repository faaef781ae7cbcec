"""Records the machine of a running Linux: /dev/cpu/N/cpuid and msr, /sys/firmware, /sys/class/dmi.

It reads no serial number, and only what the file machine.json has.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from efi_image import __version__
from efi_image.devices.efivars import Efivars
from efi_image.doctor.capture import capture
from efi_image.doctor.machine import Cpu, Firmware, Machine, Range, Registers
from efi_image.errors import InputError, MissingError, reason_of

_HINT = "run as root, after `modprobe -a cpuid msr`"
_RANGE_TYPES = {
    "System RAM": "ram", "ACPI Tables": "acpi", "ACPI Non-volatile Storage": "acpi-nvs",
    "Unusable memory": "unusable", "Persistent Memory": "persistent",
    "Persistent Memory (legacy)": "persistent",
}  # fmt: skip


class DeviceFiles:
    """A CPU through its device files; close() closes them."""

    def __init__(self, folder: Path) -> None:
        self._cpuid = _open(folder / "cpuid")
        self._msr: int | None = None
        with suppress(MissingError):  # without it the CPUID alone may say enough
            self._msr = _open(folder / "msr")

    def close(self) -> None:
        for descriptor in (self._cpuid, self._msr):
            if descriptor is not None:
                os.close(descriptor)

    def cpuid(self, leaf: int, subleaf: int) -> Registers:
        data = os.pread(self._cpuid, 16, leaf | subleaf << 32)
        eax, ebx, ecx, edx = struct.unpack("<4I", data)
        return eax, ebx, ecx, edx

    def rdmsr(self, index: int) -> int | None:
        try:
            data = os.pread(self._msr, 8, index) if self._msr is not None else b""
        except OSError:  # EIO: the MSR does not exist
            return None
        return int.from_bytes(data, "little") if len(data) == 8 else None


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MissingError(
            f"cannot be opened: {reason_of(error)}", where=str(path), hint=_HINT
        ) from None


def why_no_msrs(root: Path = Path("/")) -> MissingError:
    """Why the MSRs of this machine could not be read."""
    try:
        os.close(_open(root / "dev/cpu/0/msr"))
    except MissingError as error:
        return error
    return MissingError("an MSR cannot be read", where=str(root / "dev/cpu/0/msr"))


def record(root: Path = Path("/")) -> Machine:
    """The machine; raises MissingError for device files that are missing or closed to this user."""
    numbers = _online(root)
    microcode = _microcode(root)
    cpus = tuple(replace(_cpu(root, number), microcode=microcode) for number in numbers)
    created_by = f"zpp-image {__version__} doctor"
    return Machine(cpus, _firmware(root), tuple(_memory(root)), created_by)


def offline(root: Path = Path("/")) -> tuple[int, ...]:
    """The numbers of the CPUs that are offline, which cannot be recorded."""
    return _numbers(_read(root / "sys/devices/system/cpu/offline"))


def uses_kvm(root: Path = Path("/")) -> bool:
    """Whether the module of KVM for this CPU is loaded."""
    return any((root / "sys/module" / name).exists() for name in ("kvm_intel", "kvm_amd"))


def _cpu(root: Path, number: int) -> Cpu:
    files = DeviceFiles(root / f"dev/cpu/{number}")
    try:
        return capture(files)
    except (OSError, struct.error) as error:
        what = reason_of(error) if isinstance(error, OSError) else "it is too short"
        where = str(root / f"dev/cpu/{number}/cpuid")
        raise InputError(f"cannot be read: {what}", where=where) from None
    finally:
        files.close()


def _read(path: Path) -> str:
    """The text of a small file without the line end; '' if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    """`0-3,6` as numbers."""
    found: list[int] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def _online(root: Path) -> tuple[int, ...]:
    return _numbers(_read(root / "sys/devices/system/cpu/online")) or (0,)


def _microcode(root: Path) -> int:
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "microcode":
            with suppress(ValueError):
                return int(value, 16) & 0xFFFFFFFF
    return 0


def _firmware(root: Path) -> Firmware:
    dmi = root / "sys/class/dmi/id"
    words = (_read(dmi / "bios_vendor"), _read(dmi / "bios_version"))
    efi = root / "sys/firmware/efi"
    if not efi.is_dir():
        return Firmware("bios", *words)
    bits = 32 if _read(efi / "fw_platform_size") == "32" else 64
    return Firmware("uefi", *words, "", _secure_boot(efi), bits)


def _secure_boot(efi: Path) -> bool | None:
    with suppress(InputError):
        return Efivars(efi / "efivars").secure_boot()
    return None


def _memory(root: Path) -> Iterator[Range]:
    folder = root / "sys/firmware/memmap"
    try:
        parts = sorted(folder.iterdir(), key=lambda part: (len(part.name), part.name))
    except OSError:
        return
    for part in parts:
        start, end, kind = (_read(part / name) for name in ("start", "end", "type"))
        with suppress(ValueError):
            yield Range(int(start, 16), int(end, 16), _RANGE_TYPES.get(kind, "reserved"))
