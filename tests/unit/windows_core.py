"""A fake core for windows_machine.Machine: it is called at hypervisor.elf's entry, on the
loader's page tables, and responds as the core does, without VT-x or AMD-V.

The structures are those of hypervisor/include/zpp/boot_info.h.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from windows_machine import CR4_PAE, NO_EXECUTE, PAGE, WRITABLE, Machine

from efi_image.config.environment import find_root

CORE_BASE = 0xFFFF_A000_0000_0000
CORE_GDT = CORE_BASE + 0x12340  # never read
MAGIC = 0x746F_6F42_2D70_707A
PREPARE, LAUNCH = 0, 1
OK = 0
HYPERCALL = 0x007A_7070_0000_0000
DEVIRTUALIZE, CONFIRM, COMMIT = 5, 6, 7
REFUSED = 4
u16, u32, u64 = ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


class Range(ctypes.Structure):
    _fields_ = (("physical", u64), ("pages", u64))


class BootInfo(ctypes.Structure):
    _fields_ = (
        ("magic", u64), ("version", u32), ("size", u32), ("cpu_count", u32), ("range_count", u32),
        ("heap_page", u64), ("heap_pages", u64), ("cpu_blocks_page", u64), ("calls_page", u64),
        ("total_pages", u64), ("log_page", u64), ("trampoline_start", u64), ("trampoline_end", u64),
        ("trampoline_leave", u64), ("serial_port", u16), ("wait_for_debugger", ctypes.c_uint8),
        ("visible", ctypes.c_uint8), ("reset_after", u16),
        ("trace_port", u16), ("frame_buffer", ctypes.c_uint8 * 40),
        ("sleep", ctypes.c_uint8 * 16), ("ranges", Range * 64),
    )  # fmt: skip


class Segment(ctypes.Structure):
    _fields_ = (
        ("base", u64), ("limit", u32), ("selector", u16), ("reserved", u16),
        ("access_rights", u32), ("reserved2", u32),
    )  # fmt: skip


class TableRegister(ctypes.Structure):
    _fields_ = (("reserved", u16 * 3), ("limit", u16), ("base", u64))


class CpuState(ctypes.Structure):
    _fields_ = (
        *((name, u64) for name in ("rsp", "rip", "rflags", "cr0", "cr3", "cr4", "efer")),
        ("gdtr", TableRegister), ("idtr", TableRegister),
        *((name, Segment) for name in ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")),
    )  # fmt: skip


class CpuCall(ctypes.Structure):
    _fields_ = (
        ("os", CpuState), ("core_stack", u64), ("entry", u64), ("core_cr3", u64),
        ("core_call", u64), ("os_call", u64), ("boot_info", u64), ("phase", u32), ("cpu", u32),
        ("status", u32), ("launched", u32), ("apic_id", u32), ("amd", u32),
        ("detail", ctypes.c_char * 160),
    )  # fmt: skip


assert ctypes.sizeof(CpuCall) == 512


def boot_info_version() -> int:
    root = find_root()
    assert root is not None
    header = (root / "hypervisor/include/zpp/boot_info.h").read_text()
    found = re.search(r"^#define ZPP_BOOT_INFO_VERSION (\d+)u$", header, re.MULTILINE)
    assert found
    return int(found[1])


S = TypeVar("S", bound=ctypes.Structure)


@dataclass
class Core:
    """Responds to calls with the statuses that a test sets."""

    machine: Machine
    elf: bytes
    prepared: int = OK
    launched: Callable[[int], int] = lambda _cpu: OK
    commit: int = OK
    stuck_cpu: int | None = None  # a CPU that refuses to devirtualize
    detail: str = ""

    info: BootInfo | None = None
    calls: list[CpuCall] = field(default_factory=list)
    confirmed: list[int] = field(default_factory=list)
    devirtualized: list[int] = field(default_factory=list)
    committed: bool = False

    @staticmethod
    def file(build: Path) -> bytes:
        return (build / "hypervisor.elf").read_bytes()

    @property
    def entry(self) -> int:
        return int.from_bytes(self.elf[24:32], "little")

    def attach(self, text: bytes, address: int) -> None:
        """Hooks the core's entry and each VMCALL and VMMCALL in the driver's code."""
        self.machine.on_code(CORE_BASE + self.entry, self.enter)
        for opcode in (b"\x0f\x01\xc1", b"\x0f\x01\xd9"):
            at = text.find(opcode)
            while at >= 0:
                self.machine.on_code(address + at, self.hypercall)
                at = text.find(opcode, at + 1)

    def structure(self, kind: type[S], address: int) -> S:
        """A structure in the core's own address space."""
        root = self.machine.register("CR3")
        return kind.from_buffer_copy(self.machine.read(address, ctypes.sizeof(kind), root))

    def enter(self) -> None:
        machine = self.machine
        at = machine.register("RDI")
        root = machine.register("CR3")
        call = self.structure(CpuCall, at)
        assert (root, at) == (call.core_cr3, call.core_call)
        assert not machine.register("EFLAGS") & 0x200, "interrupts are on"
        # by a CALL, on this CPU's own host stack
        assert machine.register("RSP") == call.core_stack - 8
        assert call.os_call != call.core_call
        assert machine.physical(call.os_call) == machine.physical(call.core_call, root)
        self.check_code(root)
        machine.set_gdt(CORE_GDT)
        self.calls.append(call)
        if call.phase == PREPARE:
            self.info = self.structure(BootInfo, call.boot_info)
            assert (self.info.magic, self.info.version) == (MAGIC, boot_info_version())
            assert self.info.size == ctypes.sizeof(BootInfo)
            self.respond(call, self.prepared)
        else:
            assert call.cpu not in machine.virtualized
            status = self.launched(call.cpu)
            if status == OK:
                self.launch(call)
            else:
                self.respond(call, status)

    def check_code(self, root: int) -> None:
        """The file's text is at the entry, executable and not writable."""
        page = self.entry & -PAGE
        entry = self.machine.entry_of(CORE_BASE + page, root)
        assert not entry & (WRITABLE | NO_EXECUTE)
        loaded = self.machine.read(CORE_BASE + page, PAGE, root)
        assert loaded[self.entry % PAGE :] in self.elf

    def respond(self, call: CpuCall, status: int) -> None:
        """Writes the status, and returns to the trampoline."""
        root = self.machine.register("CR3")
        call.status = status
        call.detail = self.detail.encode() if status else b""
        self.machine.write(call.core_call, bytes(call), root)
        stack = self.machine.register("RSP")
        back = int.from_bytes(self.machine.read(stack, 8, root), "little")
        self.machine.set_register("R12", call.core_call)
        self.machine.set_register("RSP", stack + 8)
        self.machine.set_register("RIP", back)

    def launch(self, call: CpuCall) -> None:
        """Resumes the OS as a guest."""
        machine = self.machine
        machine.virtualized.add(call.cpu)
        machine.set_gdt(call.os.gdtr.base)
        machine.set_register("CR3", call.os.cr3)
        machine.set_register("CR4", call.os.cr4)
        machine.set_register("RSP", call.os.rsp)
        machine.set_register("RAX", 0)
        machine.set_register("RIP", call.os.rip)

    def hypercall(self) -> None:
        machine = self.machine
        number = machine.register("RAX") - HYPERCALL
        assert machine.cpu in machine.virtualized, (
            "a hypercall on a CPU that is not virtualized: #UD"
        )
        is_amd = machine.read(machine.register("RIP"), 3)[2] == 0xD9
        assert is_amd == machine.model.svm
        status = OK
        if number == CONFIRM:
            self.confirmed.append(machine.cpu)
        elif number == COMMIT:
            status = self.commit
            self.committed = status == OK
        elif number == DEVIRTUALIZE and machine.cpu != self.stuck_cpu:
            self.devirtualize()
            return
        else:
            status = REFUSED
        machine.set_register("RAX", status)
        machine.set_register("RIP", machine.register("RIP") + 3)

    def devirtualize(self) -> None:
        assert self.info is not None
        assert not self.committed
        machine = self.machine
        call = next(c for c in self.calls if c.phase == LAUNCH and c.cpu == machine.cpu)
        now = CpuCall.from_buffer_copy(machine.read(call.os_call, 512))
        machine.virtualized.remove(machine.cpu)
        self.devirtualized.append(machine.cpu)
        machine.write(call.core_call, bytes(now), call.core_cr3)
        machine.set_gdt(CORE_GDT)
        machine.set_register("CR4", CR4_PAE)
        machine.set_register("CR3", call.core_cr3)
        machine.set_register("R12", call.core_call)
        machine.set_register("RIP", self.info.trampoline_leave)
