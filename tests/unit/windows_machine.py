"""A machine for the Windows driver: unicorn in 64-bit mode with page tables, CPUs and a stack."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pefile
import unicorn
from unicorn import x86_const as x86

PAGE = 0x1000
RAM_SIZE = 0x400_0000
HIGH_RAM, HIGH_RAM_SIZE = 0x1_0000_0000, 0x4000_0000  # the host allocates it on the first write
IMAGE_BASE = 0xFFFF_F804_5670_0000  # far from the base the image was linked for
STACK_TOP = 0xFFFF_F804_0001_0000
STACK_PAGES = 6  # Windows' kernel stack on x86-64: 24 KiB
FUNCTIONS = 0xFFFF_F800_0000_0000  # the addresses of the kernel's functions
CPU_TABLES = 0xFFFF_F780_0000_0000  # each CPU's page: GDT and TSS
RETURN = FUNCTIONS + 0xFF0  # where DriverEntry returns to

CODE_SELECTOR, DATA_SELECTOR, TSS_SELECTOR = 0x10, 0x18, 0x40  # as Windows has them
PRESENT, WRITABLE, NO_EXECUTE = 1, 2, 1 << 63
CR4_PAE, CR4_PCIDE, EFER_LONG_MODE_NX = 0x20, 0x2_0000, 0xD00
ZPP_SIGNATURE = (0x4000_0001, 0x5A70_705A, 0x705A_7070, 0x7070_5A70)
ZPP_VTX, ZPP_AMDV = 1, 2
ZPP_KEY = 0x7A_7070
MSR_EFER, MSR_GS_BASE = 0xC000_0080, 0xC000_0101
ARGUMENTS = (x86.UC_X86_REG_RCX, x86.UC_X86_REG_RDX, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9)


@dataclass(frozen=True)
class CpuModel:
    """What CPUID shows; the default is an Intel CPU with VT-x."""

    vmx: bool = True
    svm: bool = False
    topology_leaf: bool = True
    address_bits: int = 39
    no_execute: bool = True
    pcid: int = 0  # of the running address space; 0: CR4.PCIDE is off
    hypervisor: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)

    def cpuid(self, leaf: int, apic_id: int) -> tuple[int, int, int, int]:
        if leaf in self.hypervisor:
            return self.hypervisor[leaf]
        present = bool(self.hypervisor) << 31
        return {
            0: (0xD if self.topology_leaf else 7, 0, 0, 0),
            1: (0x306C3, (apic_id & 0xFF) << 24, self.vmx << 5 | present, 0),
            0xB: (1, 2, 0x100, apic_id),
            0x8000_0000: (0x8000_000A, 0, 0, 0),
            0x8000_0001: (0, 0, self.svm << 2, self.no_execute << 20 | 1 << 26),
            0x8000_0008: (self.address_bits, 0, 0, 0),
        }.get(leaf, (0, 0, 0, 0))


class Machine:
    """Physical memory, page tables and one thread, which moves from CPU to CPU."""

    def __init__(self, model: CpuModel, apic_ids: tuple[int, ...]) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self.model = model
        self.apic_ids = apic_ids
        self.cpu = 0
        self.virtualized: set[int] = set()
        self.control_moves = 0
        self._next_page = PAGE
        self.error: BaseException | None = None
        self.uc.mem_map(0, RAM_SIZE)
        self.uc.mem_map(HIGH_RAM, HIGH_RAM_SIZE)
        self.root = self.new_page()
        self._start_paging()
        self._make_cpus()
        self.uc.hook_add(unicorn.UC_HOOK_INSN, self._cpuid, None, 1, 0, x86.UC_X86_INS_CPUID)

    @property
    def os_cr3(self) -> int:
        return self.root | self.model.pcid

    def watch_control_registers(self, text: bytes, address: int) -> None:
        """Checks each MOV to CR3 and CR4 in the code as the CPU does (SDM Vol. 3A, 4.10.1), which
        unicorn does not."""
        names = ("RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI")
        for number in (3, 4):
            for register, name in enumerate(names):
                opcode = bytes((0x0F, 0x22, 0xC0 | number << 3 | register))
                for match in re.finditer(re.escape(opcode), text):
                    self.on_code(
                        address + match.start(), partial(self._move_to_control, number, name)
                    )

    def _move_to_control(self, number: int, name: str) -> None:
        value, cr4 = self.register(name), self.register("CR4")
        self.control_moves += 1
        if number == 3:
            assert not value & 0xFE7 or cr4 & CR4_PCIDE, f"CR3 = {value:#x} without CR4.PCIDE"
        elif value & CR4_PCIDE and not cr4 & CR4_PCIDE:
            assert not self.register("CR3") & 0xFFF, "#GP: CR4.PCIDE under a PCID"

    # ---- memory

    def new_page(self, pages: int = 1) -> int:
        """Allocates zeroed RAM; returns its physical address."""
        address = self._next_page
        self._next_page += pages * PAGE
        assert self._next_page <= RAM_SIZE
        return address

    def _entry(self, address: int, *, make: bool, root: int) -> int | None:
        """The physical address of the entry that maps a page."""
        table = root
        for shift in (39, 30, 21):
            at = table + (address >> shift & 511) * 8
            (entry,) = struct.unpack("<Q", self.uc.mem_read(at, 8))
            if not entry & PRESENT:
                if not make:
                    return None
                entry = self.new_page() | PRESENT | WRITABLE
                self.uc.mem_write(at, struct.pack("<Q", entry))
            table = entry & 0x000F_FFFF_FFFF_F000
        return table + (address >> 12 & 511) * 8

    def map(self, address: int, physical: int, pages: int, flags: int) -> None:
        """Maps pages, or unmaps them if flags are negative."""
        for page in range(pages):
            entry = self._entry(address + page * PAGE, make=True, root=self.root)
            assert entry is not None
            value = (physical + page * PAGE) | PRESENT | flags if flags >= 0 else 0
            self.uc.mem_write(entry, struct.pack("<Q", value))

    def entry_of(self, address: int, root: int | None = None) -> int:
        """The page-table entry of an address in the tables at `root`; 0 if it is not mapped."""
        at = self._entry(address, make=False, root=self.root if root is None else root)
        if at is None:
            return 0
        (entry,) = struct.unpack("<Q", self.uc.mem_read(at, 8))
        return int(entry) if entry & PRESENT else 0

    def physical(self, address: int, root: int | None = None) -> int:
        entry = self.entry_of(address, root)
        assert entry, f"{address:#x} is not mapped"
        return (entry & 0x000F_FFFF_FFFF_F000) | address % PAGE

    def _chunks(self, address: int, size: int) -> Iterator[tuple[int, int]]:
        while size:
            chunk = min(size, PAGE - address % PAGE)
            yield address, chunk
            address, size = address + chunk, size - chunk

    def read(self, address: int, size: int, root: int | None = None) -> bytes:
        return b"".join(
            bytes(self.uc.mem_read(self.physical(at, root), length))
            for at, length in self._chunks(address, size)
        )

    def write(self, address: int, data: bytes, root: int | None = None) -> None:
        for at, length in self._chunks(address, len(data)):
            self.uc.mem_write(self.physical(at, root), data[:length])
            data = data[length:]

    # ---- CPUs

    def _start_paging(self) -> None:
        # hooks see linear addresses; memory is reached through the page tables
        self.uc.reg_write(x86.UC_X86_REG_CR3, self.os_cr3)
        self.uc.reg_write(x86.UC_X86_REG_CR4, CR4_PAE | (CR4_PCIDE if self.model.pcid else 0))
        self.uc.reg_write(x86.UC_X86_REG_MSR, (MSR_EFER, EFER_LONG_MODE_NX))
        self.map(STACK_TOP - STACK_PAGES * PAGE, self.new_page(STACK_PAGES), STACK_PAGES,
                 WRITABLE | NO_EXECUTE)  # fmt: skip
        self.map(FUNCTIONS, self.new_page(), 1, 0)
        self.write(FUNCTIONS, b"\xc3" * PAGE)  # ret

    def _make_cpus(self) -> None:
        pages = len(self.apic_ids)
        self.map(CPU_TABLES, self.new_page(pages), pages, WRITABLE | NO_EXECUTE)
        for cpu in range(pages):
            base = CPU_TABLES + cpu * PAGE
            tss = base + 0x100
            low = 0x67 | (tss & 0xFFFFFF) << 16 | 0x8B << 40 | (tss >> 24 & 0xFF) << 56
            gdt = [0, 0, 0x00209B00_00000000, 0x00409300_00000000, 0, 0, 0, 0, low, tss >> 32]
            self.write(base, struct.pack("<10Q", *gdt))
        self.uc.reg_write(x86.UC_X86_REG_CR0, 0x8005_0033)
        self.move_to(0)
        self.uc.reg_write(x86.UC_X86_REG_CS, CODE_SELECTOR)
        for register in (x86.UC_X86_REG_SS, x86.UC_X86_REG_DS, x86.UC_X86_REG_ES):
            self.uc.reg_write(register, DATA_SELECTOR)

    def tables_of(self, cpu: int) -> int:
        """The base of the CPU's GDT."""
        return CPU_TABLES + cpu * PAGE

    def gs_base_of(self, cpu: int) -> int:
        return 0xFFFF_F805_0000_0000 + cpu * 0x10000

    def move_to(self, cpu: int) -> None:
        self.cpu = cpu
        base = self.tables_of(cpu)
        self.set_gdt(base)
        self.uc.reg_write(x86.UC_X86_REG_TR, (TSS_SELECTOR, base + 0x100, 0x67, 0x8B00))
        self.uc.reg_write(x86.UC_X86_REG_MSR, (MSR_GS_BASE, self.gs_base_of(cpu)))

    def set_gdt(self, base: int) -> None:
        self.uc.reg_write(x86.UC_X86_REG_GDTR, (0, base, 0x4F, 0))

    @property
    def gdt(self) -> int:
        return int(self.uc.reg_read(x86.UC_X86_REG_GDTR)[1])

    def _cpuid(self, _uc: unicorn.Uc, _data: object) -> int:
        values = self.cpuid(self.register("EAX"), self.register("ECX"))
        for name, value in zip(("EAX", "EBX", "ECX", "EDX"), values, strict=True):
            self.set_register("R" + name[1:], value)
        return 1

    def cpuid(self, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        """CPUID on the current CPU; zpp hides VT-x and AMD-V, and itself without its key."""
        if self.cpu not in self.virtualized:
            return self.model.cpuid(leaf, self.apic_ids[self.cpu])
        feature = ZPP_AMDV if self.model.svm else ZPP_VTX
        leaves = {0x4000_0000: ZPP_SIGNATURE, 0x4000_0001: (0x100, feature, self.cpu, 0)}
        if subleaf == ZPP_KEY and leaf in leaves:
            return leaves[leaf]
        return replace(self.model, vmx=False, svm=False).cpuid(leaf, self.apic_ids[self.cpu])

    # ---- running

    def register(self, name: str) -> int:
        return int(self.uc.reg_read(getattr(x86, f"UC_X86_REG_{name}")))

    def set_register(self, name: str, value: int) -> None:
        self.uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), value)

    def argument(self, index: int) -> int:
        """An argument of the function just called, by Microsoft's x64 convention."""
        if index < len(ARGUMENTS):
            return int(self.uc.reg_read(ARGUMENTS[index]))
        at = self.register("RSP") + 8 * (index + 1)
        return int(struct.unpack("<Q", self.read(at, 8))[0])

    def on_code(self, address: int, function: Callable[[], None], size: int = 1) -> None:
        """Calls the function before the instruction at the address; its errors end the run."""

        def hook(uc: unicorn.Uc, _address: int, _size: int, _data: object) -> None:
            try:
                function()
            except BaseException as error:  # it cannot propagate through C
                self.error = error
                uc.emu_stop()

        self.uc.hook_add(unicorn.UC_HOOK_CODE, hook, None, address, address + size - 1)

    def call(self, address: int, *arguments: int) -> int:
        """Calls a function of the driver; returns EAX."""
        stack = STACK_TOP - 0x108
        self.write(stack, struct.pack("<Q", RETURN))
        self.set_register("RSP", stack)
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            self.uc.reg_write(register, value)
        self.set_register("EFLAGS", 0x202)
        try:
            self.uc.emu_start(address, RETURN, timeout=60_000_000)
        except unicorn.UcError as error:
            if self.error is None:
                raise AssertionError(f"at {self.register('RIP'):#x}: {error}") from error
        if self.error is not None:
            raise self.error
        assert self.register("RIP") == RETURN, "the driver did not return"
        assert self.register("RSP") == stack + 8
        return self.register("EAX")


def load_image(machine: Machine, pe: pefile.PE, resolve: Callable[[str], int]) -> int:
    """Maps the driver as Windows does, each section with its own protection. Returns the entry."""
    pe.relocate_image(IMAGE_BASE)
    for descriptor in pe.DIRECTORY_ENTRY_IMPORT:
        for entry in descriptor.imports:
            pe.set_qword_at_rva(
                entry.address - pe.OPTIONAL_HEADER.ImageBase, resolve(entry.name.decode())
            )
    image = pe.get_memory_mapped_image()
    pages = -(-pe.OPTIONAL_HEADER.SizeOfImage // PAGE)
    physical = machine.new_page(pages)
    machine.uc.mem_write(physical, image)
    machine.map(IMAGE_BASE, physical, 1, NO_EXECUTE)
    for section in pe.sections:
        flags = (0 if section.Characteristics & 0x2000_0000 else NO_EXECUTE) | (
            WRITABLE if section.Characteristics & 0x8000_0000 else 0
        )
        count = -(-section.Misc_VirtualSize // PAGE)
        machine.map(IMAGE_BASE + section.VirtualAddress, physical + section.VirtualAddress, count,
                    flags)  # fmt: skip
    return int(IMAGE_BASE + pe.OPTIONAL_HEADER.AddressOfEntryPoint)
