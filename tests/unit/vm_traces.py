"""Traces of VM exits for the tests, with packets that are packed here and not by the tool."""

from __future__ import annotations

import struct
from pathlib import Path

HZ = 1_000_000
TSC = 5_000_000  # at the start
KEY = 0x7A7070  # of zpp's CPUID leaves and hypercalls
VTX, AMDV = 1, 2
BUILD_ID = bytes(range(20))


def sealed(packet: bytes) -> bytes:
    """A packet with its checksum."""
    assert len(packet) == 56
    return packet[:3] + bytes([-sum(packet) % 256]) + packet[4:]


def start(
    vendor: int = VTX, cpus: int = 2, tsc: int = TSC, hz: int = HZ, version: int = 1
) -> bytes:
    """As in hypervisor/include/zpp/trace.h."""
    return sealed(
        b"ZT\x00\x00"
        + struct.pack("<HHIIQQ", version, vendor, 0x000102, cpus, tsc, hz) + BUILD_ID + bytes(4)
    )  # fmt: skip


def vm_exit(
    reason: int, cpu: int = 0, ticks: int = 0, *, qualification: int = 0, rip: int = 0x1000,
    rax: int = 0, ecx: int = 0, edx: int = 0, mode: int = 4,
) -> bytes:  # fmt: skip
    """`ticks` after the start."""
    return sealed(
        b"ZT\x01\x00"
        + struct.pack("<HHIBBH", cpu, 0x10, reason, mode, 0, 0)
        + struct.pack("<QQQQQ", TSC + ticks, rip, qualification, rax, ecx | edx << 32)
    )


def head(hz: int = 0, skipped: int = 0) -> bytes:
    """As in docs/reference/trace-format.md."""
    return b"zppTrace" + struct.pack("<HHHHQQ", 1, 32, 56, 0, hz, skipped)


# 4 exits on CPU 0, 2 on CPU 1, in 2 seconds
PACKETS = (
    vm_exit(10, 0, 0, rax=1, rip=0x1000),
    vm_exit(10, 1, 500_000, rax=1, rip=0x1000),
    vm_exit(10, 0, 500_000, rax=0x40000000, ecx=KEY, rip=0x2000),
    vm_exit(31, 0, 1_000_000, ecx=0x3A, rip=0x3000),
    vm_exit(48, 1, 1_500_000, qualification=2, rax=0xFEE00300, rip=0x4000),
    vm_exit(18, 0, 2_000_000, rax=KEY << 32 | 2, rip=0x5000),
)


def write(path: Path, packets: tuple[bytes, ...] = PACKETS, first: bytes | None = None) -> Path:
    """A trace file with a start packet and these packets."""
    path.write_bytes(head() + (start() if first is None else first) + b"".join(packets))
    return path
