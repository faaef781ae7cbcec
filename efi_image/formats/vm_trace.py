"""The trace of VM exits: the core's packets, and the file in which `run --trace` saves them.

docs/reference/trace-format.md describes both; hypervisor/include/zpp/trace.h is the core's side.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from efi_image.errors import InputError
from efi_image.io.medium import Medium, open_raw
from efi_image.progress import Progress, counter

MAGIC = b"zppTrace"
VERSION = 1
PACKET = 56  # bytes
SYNC = b"ZT"

_HEADER = struct.Struct("<8sHHHHQQ")
_START = struct.Struct("<2xBBHHIIQQ20sI")
_EXIT = struct.Struct("<2xBBHHIBBHQQQQQ")
_PER_READ = 1 << 14  # packets
_KIND_START, _KIND_EXIT = 0, 1


class Vendor(Enum):
    """The extension that zpp uses; the value is the one of CPUID.40000001H:EBX."""

    VTX = 1
    AMDV = 2

    @property
    def title(self) -> str:
        """Its name."""
        return "Intel VT-x" if self is Vendor.VTX else "AMD-V"


MODES = ("real", "virtual-8086", "16-bit", "32-bit", "64-bit")  # of the CPU at a VM exit
_MAX_CPUS = 1 << 16


@dataclass(frozen=True, slots=True)
class TraceStart:
    """The core's first packet after each reset; `tsc_hz` is 0 if CPUID does not give it."""

    vendor: Vendor
    zpp_version: str
    cpu_count: int
    tsc: int
    tsc_hz: int
    build_id: str  # of hypervisor.elf, in hexadecimal

    @staticmethod
    def unpack(packet: bytes) -> TraceStart:
        """Raises ValueError for a packet of another version."""
        _, _, version, vendor, zpp, cpus, tsc, tsc_hz, build_id, _ = _START.unpack(packet)
        if version != VERSION:
            raise ValueError(f"the core writes version {version} of the trace")
        if not 0 < cpus <= _MAX_CPUS:
            raise ValueError(f"{cpus} CPUs")
        text = ".".join(str(zpp >> shift & 0xFF) for shift in (16, 8, 0))
        return TraceStart(Vendor(vendor), text, cpus, tsc, tsc_hz, build_id.hex())

    def pack(self) -> bytes:
        """The packet."""
        major, minor, patch = map(int, self.zpp_version.split("."))
        return _sealed(_START.pack(
            _KIND_START, 0, VERSION, self.vendor.value, major << 16 | minor << 8 | patch,
            self.cpu_count, self.tsc, self.tsc_hz, bytes.fromhex(self.build_id), 0,
        ))  # fmt: skip


class VmExit(NamedTuple):
    """A VM exit; `ticks` of the TSC count from the trace's first packet, across resets."""

    cpu: int
    ticks: int
    reason: int  # exit reason (VT-x) or exit code (AMD-V)
    qualification: int  # exit qualification (VT-x) or EXITINFO1 (AMD-V)
    rip: int
    cs: int
    mode: int  # index into MODES
    cpl: int
    operand: int  # RAX; nested paging: the guest-physical address; VT-x reason 0: the event
    operand2: int  # ECX, and EDX in bits 63:32; VT-x reason 0: the error code

    @property
    def eax(self) -> int:
        """The guest's EAX."""
        return self.operand & 0xFFFFFFFF

    @property
    def ecx(self) -> int:
        """The guest's ECX."""
        return self.operand2 & 0xFFFFFFFF

    @property
    def edx_eax(self) -> int:
        """The value that WRMSR or XSETBV writes."""
        return self.operand2 >> 32 << 32 | self.eax

    def pack(self, tsc: int) -> bytes:
        """The packet, with the TSC that the first packet has."""
        return _sealed(_EXIT.pack(
            _KIND_EXIT, 0, self.cpu, self.cs, self.reason, self.mode, self.cpl, 0,
            tsc + self.ticks, self.rip, self.qualification, self.operand, self.operand2,
        ))  # fmt: skip


def _sealed(packet: bytes) -> bytes:
    """A packet with its first bytes and its checksum."""
    packet = SYNC + packet[2:]
    return packet[:3] + bytes([-sum(packet) & 0xFF]) + packet[4:]


def is_sound(packet: bytes) -> bool:
    """Whether these bytes are a packet."""
    return len(packet) == PACKET and packet.startswith(SYNC) and sum(packet) & 0xFF == 0


def is_start(packet: bytes) -> bool:
    """Whether a packet is a start packet."""
    return packet[2] == _KIND_START


class Clock:
    """Turns packets into VM exits, whose ticks continue across resets of the machine."""

    def __init__(self, start: TraceStart) -> None:
        self._base = start.tsc
        self._last = 0

    def restart(self, start: TraceStart) -> None:
        """The machine was reset, and its TSC perhaps too."""
        self._base = min(self._base, start.tsc - self._last)

    def unpack(self, packet: bytes) -> VmExit:
        """The exit in a packet."""
        (_, _, cpu, cs, reason, mode, cpl, _, tsc, rip, qualification, operand,
         operand2) = _EXIT.unpack(packet)  # fmt: skip
        ticks = max(0, tsc - self._base)
        self._last = max(self._last, ticks)
        return VmExit(cpu, ticks, reason, qualification, rip, cs, mode, cpl, operand, operand2)


class PacketStream:
    """Finds packets among the bytes of a debug port; `skipped` counts the other bytes."""

    def __init__(self) -> None:
        self.skipped = 0
        self._rest = b""
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that are complete now; the first one is a start packet."""
        data = self._rest + data
        at = 0
        while len(data) - at >= PACKET:
            packet = data[at : at + PACKET]
            if is_sound(packet) and (self._started or is_start(packet)):
                self._started = True
                yield packet
                at += PACKET
                continue
            following = data.find(SYNC[:1], at + 1)
            following = len(data) if following < 0 else following
            self.skipped += following - at
            at = following
        self._rest = data[at:]


def header(tsc_hz: int = 0, skipped: int = 0) -> bytes:
    """The file's header; `tsc_hz` as `run` has measured it, 0 if unknown."""
    return _HEADER.pack(MAGIC, VERSION, _HEADER.size, PACKET, 0, tsc_hz, skipped)


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace file; `tsc_hz` is 0 if unknown, `skipped` the bytes that were not packets."""

    path: Path
    start: TraceStart
    tsc_hz: int
    skipped: int
    packets: int

    def exits(self, progress: Progress | None = None) -> Iterator[VmExit]:
        """The exits in the order of the file; raises InputError at a damaged packet."""
        clock = Clock(self.start)
        for packet in self._packets(progress):
            if is_start(packet):
                clock.restart(_start_of(packet, str(self.path)))
                continue
            exit_ = clock.unpack(packet)
            if exit_.cpu >= self.start.cpu_count or exit_.mode >= len(MODES):
                raise InputError(
                    f"has an exit of CPU {exit_.cpu} in mode {exit_.mode}; there are "
                    f"{self.start.cpu_count} CPUs and {len(MODES)} modes", where=str(self.path),
                )  # fmt: skip
            yield exit_

    def _packets(self, progress: Progress | None) -> Iterator[bytes]:
        tell = counter(progress, self.packets * PACKET)
        with open_raw(self.path) as medium:
            for first in range(0, self.packets, _PER_READ):
                count = min(_PER_READ, self.packets - first)
                data = medium.read(_HEADER.size + first * PACKET, count * PACKET)
                for number in range(count):
                    packet = data[number * PACKET : (number + 1) * PACKET]
                    if not is_sound(packet):
                        raise InputError(
                            f"packet {first + number} at byte "
                            f"{_HEADER.size + (first + number) * PACKET} is damaged",
                            where=str(self.path), hint="record it again with `run --trace`",
                        )  # fmt: skip
                    yield packet
                if tell:
                    tell(len(data))


def read_trace(path: Path) -> Trace:
    """Open a trace file; raises InputError if it is not one, or is truncated."""
    where = str(path)
    with open_raw(path) as medium:
        tsc_hz, skipped = _read_header(medium, where)
        packets, rest = divmod(medium.size - _HEADER.size, PACKET)
        if rest:
            raise InputError(
                f"is truncated in packet {packets}, which has {rest} of {PACKET} bytes",
                where=where, hint="record it again with `run --trace`",
            )  # fmt: skip
        first = medium.peek(_HEADER.size, PACKET)
    if not first:
        raise InputError("has no packets: zpp did not start in that run", where=where)
    if not is_sound(first) or not is_start(first):
        raise InputError("does not begin with a start packet", where=where)
    start = _start_of(first, where)
    return Trace(path, start, start.tsc_hz or tsc_hz, skipped, packets)


def _read_header(medium: Medium, where: str) -> tuple[int, int]:
    data = medium.peek(0, _HEADER.size)
    if not data.startswith(MAGIC):
        raise InputError(
            "is not a zpp trace", where=where, hint="`zpp-image run --trace FILE` makes one"
        )
    if len(data) < _HEADER.size:
        raise InputError(f"is truncated in its header, at byte {len(data)}", where=where)
    _, version, size, packet, _, tsc_hz, skipped = _HEADER.unpack(data)
    if (version, size, packet) != (VERSION, _HEADER.size, PACKET):
        raise InputError(
            f"is a trace of version {version}; this zpp-image reads version {VERSION}", where=where
        )
    return tsc_hz, skipped


def _start_of(packet: bytes, where: str) -> TraceStart:
    try:
        return TraceStart.unpack(packet)
    except ValueError as error:
        raise InputError(f"has a start packet that is not valid: {error}", where=where) from None
