"""Which engine boots an image: the one asked for, or the first that can show the hypervisor."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from efi_image.emulator import bochs_install as rigs
from efi_image.emulator.base import Engine
from efi_image.emulator.bochs import BochsEngine
from efi_image.emulator.cpu_probe import Extension
from efi_image.emulator.qemu import Accelerator, QemuEngine, find_qemus
from efi_image.errors import EmulatorMissing

# the extensions by which the hypervisor can hold a CPU
USABLE = Extension.VMX | Extension.SVM


class EngineKind(Enum):
    """`--engine`."""

    AUTO = "auto"
    QEMU = "qemu"
    BOCHS = "bochs"


def choose(kind: EngineKind = EngineKind.AUTO, bochs_root: Path | None = None) -> Engine:
    """The engine, seen to run; EmulatorMissing says what to install."""
    root = bochs_root or rigs.default_root()
    if kind is EngineKind.BOCHS:
        return BochsEngine(rigs.find(root))
    if kind is EngineKind.QEMU:
        return _choose_qemu(find_qemus())
    try:
        able = [qemu for qemu in find_qemus() if qemu.extensions & USABLE]
    except EmulatorMissing:
        able = []
    return able[0] if able else BochsEngine(rigs.find(root))


def _choose_qemu(found: list[QemuEngine]) -> QemuEngine:
    """KVM only where it nests: otherwise TCG, whose CPU is the same on every machine."""
    able = [qemu for qemu in found if qemu.extensions & USABLE]
    emulated = [qemu for qemu in found if qemu.accelerator is Accelerator.TCG]
    return [*able, *emulated, *found][0]
