"""Reads the core's counters of VM exits out of a machine's memory, after its power-off.

Nothing in the guest can read them then, and the core has no call for programs: so QEMU keeps the
guest's memory in a file, and the structures of hypervisor/include/zpp/boot_info.h are found there.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PAGE = 4096
_MAGIC = b"zpp-Boot"
VERSION = 7
_HEAD = struct.Struct("<8sIIII6Q3QHB5x56x")  # struct zpp_boot_info up to its ranges
_RANGE = struct.Struct("<QQ")
_MOST_RANGES = 64
_BLOCK_PAGES = 16
_VCPU = struct.Struct("<I4x?")  # class Vcpu: index, launched
_EXITS = struct.Struct("<192Q")
_EXITS_OFFSET = 40
_VMMCALL = 0x81  # each CPU confirms its launch with one

NAMES = {
    0x61: "NMI", 0x72: "CPUID", 0x74: "IRET", 0x76: "INVD", 0x7C: "MSR", 0x81: "VMMCALL",
    0xA8: "nested page fault",
}  # fmt: skip


class NoCounters(Exception):
    """The memory does not hold what is looked for."""


@dataclass(frozen=True)
class _Core:
    memory: mmap.mmap
    cpus: int
    first_block: int  # in pages of the core
    ranges: tuple[tuple[int, int], ...]  # physical address, pages

    def page(self, number: int) -> bytes:
        """A page of the core, by its place in the core's own memory."""
        for physical, pages in self.ranges:
            if number < pages:
                start = physical + number * _PAGE
                return self.memory[start : start + _PAGE]
            number -= pages
        raise NoCounters("a CPU's block lies outside of the core's memory")


def qemu_arguments(file: Path, mebibytes: int) -> tuple[str, ...]:
    """What keeps the guest's memory in `file`; it must be below 2 GiB, where nothing is moved."""
    backend = f"memory-backend-file,id=ram,size={mebibytes}M,mem-path={file},share=on"
    return ("-object", backend, "-machine", "memory-backend=ram")


def exits(file: Path, cpus: int) -> Counter[str]:
    """VM exits of all CPUs since the launch, by reason; NoCounters if they are not there."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as ram:
        for core in _cores(ram):
            if core.cpus == cpus:
                return sum((_of_cpu(core, cpu) for cpu in range(cpus)), Counter())
    raise NoCounters("the core is not in the machine's memory")


def _cores(ram: mmap.mmap) -> Iterator[_Core]:
    found = ram.find(_MAGIC)
    while found >= 0:
        values = _HEAD.unpack_from(ram, found)
        size = _HEAD.size + _MOST_RANGES * _RANGE.size
        if found % _PAGE == 0 and values[1:3] == (VERSION, size):
            ranges = (
                _RANGE.unpack_from(ram, found + _HEAD.size + index * _RANGE.size)
                for index in range(values[4])
            )
            yield _Core(ram, values[3], values[7], tuple(ranges))
        found = ram.find(_MAGIC, found + 1)


def _of_cpu(core: _Core, cpu: int) -> Counter[str]:
    page = core.page(core.first_block + cpu * _BLOCK_PAGES)
    counts = _EXITS.unpack_from(page, _EXITS_OFFSET)
    if _VCPU.unpack_from(page) != (cpu, True) or counts[_VMMCALL] == 0:
        raise NoCounters(f"CPU {cpu}'s counters are not where they should be")
    return Counter(
        {NAMES.get(reason, f"reason {reason:#x}"): n for reason, n in enumerate(counts) if n}
    )
