"""Finds out which virtualization extensions QEMU gives its guests, by running one (0.1 s).

An open /dev/kvm, or the CPUID of the build machine, proves nothing about nesting. The guest is a
ROM of 64 KiB that asks CPUID, reads VT-x's capabilities, and returns the answer as exit code.
"""

from __future__ import annotations

import subprocess
import tempfile
from enum import Flag
from pathlib import Path

DEBUG_EXIT = "isa-debug-exit,iobase=0xf4,iosize=4"
_TIME_LIMIT = 20  # seconds
_ROM_SIZE = 0x10000
_RESET = 0xFFF0  # offset in the ROM at which the CPU starts
_ANSWERED = 0x10

# 16-bit code at the ROM's first byte
_CODE = bytes.fromhex(
    "66 31 f6"  #                 xor esi, esi
    "66 b8 01 00 00 00"  #        mov eax, 1
    "0f a2"  #                    cpuid
    "f6 c1 20"  #                 test cl, 1 << 5             VMX
    "74 10"  #                    jz svm
    "66 b9 80 04 00 00"  #        mov ecx, IA32_VMX_BASIC
    "0f 32"  #                    rdmsr
    "66 85 c0"  #                 test eax, eax               VMCS revision
    "74 03"  #                    jz svm
    "83 ce 01"  #                 or si, 1
    "66 b8 00 00 00 80"  #   svm: mov eax, 0x80000000
    "0f a2"  #                    cpuid
    "66 3d 01 00 00 80"  #        cmp eax, 0x80000001
    "72 10"  #                    jb done
    "66 b8 01 00 00 80"  #        mov eax, 0x80000001
    "0f a2"  #                    cpuid
    "f6 c1 04"  #                 test cl, 1 << 2             SVM
    "74 03"  #                    jz done
    "83 ce 02"  #                 or si, 2
    "89 f0"  #              done: mov ax, si
    "0c 10"  #                    or al, 0x10
    "e6 f4"  #                    out 0xf4, al
    "f4"  #                 stop: hlt
    "eb fd"  #                    jmp stop
)
_JUMP = bytes.fromhex("e9 0d 00")  # from _RESET to the first byte


class Extension(Flag):
    """The virtualization extensions of a CPU."""

    NONE = 0
    VMX = 1
    SVM = 2


def probe_rom() -> bytes:
    """The ROM."""
    head = _CODE.ljust(_RESET, b"\0")
    return (head + _JUMP).ljust(_ROM_SIZE, b"\0")


def probe_cpu(qemu: str, accelerator: str, cpu_model: str) -> Extension | None:
    """The extensions of a guest; None if QEMU does not start with this accelerator and model."""
    with tempfile.TemporaryDirectory(prefix="zpp-probe-") as folder:
        rom = Path(folder) / "probe.rom"
        rom.write_bytes(probe_rom())
        command = [
            *(qemu, "-machine", f"pc,accel={accelerator}", "-cpu", cpu_model, "-m", "16"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-device", DEBUG_EXIT, "-bios", str(rom)),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=_TIME_LIMIT, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
    answer, odd = divmod(done.returncode, 2)
    if not odd or answer & ~3 != _ANSWERED:
        return None
    return Extension(answer & 3)
