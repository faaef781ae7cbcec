"""The core's memory: pages in the order of the physical ranges the loader got (boot_info.h)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

PAGE = 4096
CORE_BASE = 0xFFFFA00000000000
BLOCK = 0x10000
VERSION = 7
_MAGIC = b"zpp-Boot"
_HEAD = struct.Struct("<8sIIII6Q3QHB5x56x")
_RANGE = struct.Struct("<QQ")
_MOST_RANGES = 64
BOOT_INFO_SIZE = _HEAD.size + _MOST_RANGES * _RANGE.size


@dataclass(frozen=True)
class Layout:
    """Where the core's parts are; ranges are (host-physical address, pages)."""

    cpus: int
    blocks_page: int
    total_pages: int
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, data: bytes) -> Layout:
        """From the bytes of struct zpp_boot_info; ValueError if that is not what they are."""
        if len(data) < BOOT_INFO_SIZE:
            raise ValueError("boot_info is cut short")
        head = _HEAD.unpack_from(data)
        if head[:3] != (_MAGIC, VERSION, BOOT_INFO_SIZE) or head[4] > _MOST_RANGES:
            raise ValueError("no boot_info of this version")
        ranges = _RANGE.iter_unpack(data[_HEAD.size : _HEAD.size + head[4] * _RANGE.size])
        return cls(head[3], head[7], head[9], tuple((a, b) for a, b in ranges))

    def vcpu(self, index: int) -> int:
        """Host-virtual address of a CPU's block."""
        return CORE_BASE + self.blocks_page * PAGE + index * BLOCK

    def physical_of(self, address: int) -> int:
        """LookupError if the host-virtual address is not the core's."""
        page, offset = divmod(address - CORE_BASE, PAGE)
        if page >= 0:
            for physical, pages in self.ranges:
                if page < pages:
                    return physical + page * PAGE + offset
                page -= pages
        raise LookupError(f"{address:#x} is not in the core's memory")

    def virtual_of(self, address: int) -> int:
        """LookupError if the host-physical address is not the core's."""
        before = 0
        for physical, pages in self.ranges:
            if physical <= address < physical + pages * PAGE:
                return CORE_BASE + before * PAGE + address - physical
            before += pages
        raise LookupError(f"{address:#x} is not in the core's memory")
