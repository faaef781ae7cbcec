"""Records a CPU by the tables of hypervisor/loader/capture.h, as zpp_capture() does."""

from __future__ import annotations

from typing import Protocol

from efi_image.doctor.machine import Cpu, Leaf, Registers
from efi_image.doctor.requirements import (
    CAPTURED_MSRS,
    CAPTURED_RANGES,
    CAPTURED_SUBLEAVES,
    UNRECORDED_LEAF,
    ZPP_KEY,
    ZPP_LEAF,
)

MTRRCAP = 0xFE
_ZPP = b"ZppZppZppZpp"


class Reader(Protocol):
    """Reads one CPU."""

    def cpuid(self, leaf: int, subleaf: int) -> Registers:
        """EAX, EBX, ECX and EDX."""
        ...

    def rdmsr(self, index: int) -> int | None:
        """The value of an MSR; None: it cannot be read."""
        ...


def capture(reader: Reader) -> Cpu:
    """All leaves and MSRs that are recorded; MSRs only where they exist."""
    cpu = Cpu(_leaves(reader), {})
    msrs: dict[int, int] = {}
    for row in CAPTURED_MSRS:
        shown = Cpu(cpu.cpuid, msrs).value(row.source, row.index)
        if shown is None or shown & row.mask != row.mask:
            continue
        count = row.count or 2 * (msrs.get(MTRRCAP, 0) & 0xFF)
        for index in range(row.first, row.first + count):
            value = reader.rdmsr(index)
            if value is not None:
                msrs[index] = value
    return Cpu(cpu.cpuid, msrs)


def _leaves(reader: Reader) -> dict[Leaf, Registers]:
    leaves: dict[Leaf, Registers] = {}
    in_guest = reader.cpuid(1, 0)[2] >> 31
    for first, last in CAPTURED_RANGES:
        if first == ZPP_LEAF and not in_guest:
            continue
        for leaf in range(first, min(last, reader.cpuid(first, 0)[0]) + 1):
            if leaf == UNRECORDED_LEAF:
                continue
            for subleaf in range(CAPTURED_SUBLEAVES.get(leaf, 0) + 1):
                registers = reader.cpuid(leaf, subleaf)
                if any(registers):
                    leaves[leaf, subleaf] = registers
    zpp = reader.cpuid(ZPP_LEAF, ZPP_KEY)
    if b"".join(value.to_bytes(4, "little") for value in zpp[1:]) == _ZPP:
        leaves[ZPP_LEAF, ZPP_KEY] = zpp
    return leaves
