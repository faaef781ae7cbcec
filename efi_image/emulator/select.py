"""Chooses the emulator: the one asked for, or the first that can show the hypervisor."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from efi_image.emulator.base import Emulator
from efi_image.emulator.bochs import Bochs
from efi_image.emulator.bochs_install import default_root, find
from efi_image.emulator.cpu_probe import Extension
from efi_image.emulator.qemu import Accelerator, Qemu, find_qemus
from efi_image.errors import EmulatorMissing

# the extensions that the hypervisor can use
USABLE = Extension.VMX | Extension.SVM


class EmulatorKind(Enum):
    """An emulator, as in `--emulator`."""

    AUTO = "auto"
    QEMU = "qemu"
    BOCHS = "bochs"


def choose(kind: EmulatorKind = EmulatorKind.AUTO, bochs_root: Path | None = None) -> Emulator:
    """An emulator that works here; raises EmulatorMissing with what to install.

    AUTO takes QEMU with a KVM that nests, QEMU with TCG, or Bochs.
    """
    root = bochs_root or default_root()
    if kind is EmulatorKind.BOCHS:
        return Bochs(find(root))
    if kind is EmulatorKind.QEMU:
        return _choose_qemu(find_qemus())
    missing = None
    try:
        able = [qemu for qemu in find_qemus() if qemu.extensions & USABLE]
    except EmulatorMissing as error:
        able, missing = [], error
    if able:
        return able[0]
    try:
        return Bochs(find(root))
    except EmulatorMissing as error:
        if missing is None:
            raise
        raise EmulatorMissing(
            f"{missing.what}, and {error.what}", hint=f"{missing.hint}, or {error.hint}"
        ) from None


def _choose_qemu(found: list[Qemu]) -> Qemu:
    """KVM only where it nests; otherwise TCG, whose CPU is the same on every machine."""
    able = [qemu for qemu in found if qemu.extensions & USABLE]
    emulated = [qemu for qemu in found if qemu.accelerator is Accelerator.TCG]
    return [*able, *emulated, *found][0]
