"""VM exits in words: what the guest tried and what the core did, for both vendors.

Numbers of the SDM are those of its volumes 3C and 3D, of the APM those of volume 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from efi_image.formats.vm_trace import Vendor, VmExit
from efi_image.inspect.vm_exit_names import (
    APIC_PAGE,
    APIC_REGISTERS,
    CPUID_LEAVES,
    HYPERCALLS,
    ZPP_KEY,
    MsrRange,
    exception,
    find_msr,
)


@dataclass(frozen=True, slots=True)
class Detail:
    """A sub-kind of VM exit; `did` replaces the kind's own if it is not empty."""

    title: str = ""
    did: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of VM exit that both vendors or one of them have.

    "The guest `tried`; zpp `did`." `sdm` and `apm` are sections, '' where there is no such exit.
    """

    tried: str
    did: str
    sdm: str = ""
    apm: str = ""
    detail: Callable[[Vendor, VmExit], Detail] = lambda _vendor, _exit: Detail()

    def section(self, vendor: Vendor) -> str:
        """The manual and its section."""
        if vendor is Vendor.VTX:
            return f"SDM Vol. 3C, {self.sdm}" if self.sdm else ""
        return f"APM Vol. 2, {self.apm}" if self.apm else ""


def _cpuid(_vendor: Vendor, exit_: VmExit) -> Detail:
    leaf = exit_.eax
    if 0x40000100 <= leaf <= 0x4FFFFFFF:
        return Detail("leaves from 0x40000100, signatures of other hypervisors")
    name = CPUID_LEAVES.get(leaf, "")
    title = f"leaf {leaf:#x}" + (f", {name}" if name else "")
    if 0x40000000 <= leaf <= 0x40000001 and exit_.ecx == ZPP_KEY:
        return Detail(f"{title}, with zpp's key", "answered, because the key was in ECX")
    return Detail(title)


def _msr(exit_: VmExit) -> tuple[str, MsrRange | None]:
    """The MSR as text, and its row. With an immediate (VT-x) the qualification has its number."""
    number = exit_.qualification & 0xFFFFFFFF if exit_.reason in (84, 85) else exit_.ecx
    row = find_msr(number)
    return f"{number:#x}" + (f", {row.name}" if row else ""), row


def _rdmsr(_vendor: Vendor, exit_: VmExit) -> Detail:
    title, row = _msr(exit_)
    return Detail(title, row.read if row else "")


def _wrmsr(_vendor: Vendor, exit_: VmExit) -> Detail:
    title, row = _msr(exit_)
    return Detail(title, row.wrote if row else "")


def _control_register(_vendor: Vendor, exit_: VmExit) -> Detail:
    access = ("MOV to CR{}", "MOV from CR{}", "CLTS", "LMSW")[exit_.qualification >> 4 & 3]
    return Detail(access.format(exit_.qualification & 15))


def _nested_paging(vendor: Vendor, exit_: VmExit) -> Detail:
    address = exit_.operand
    write = exit_.qualification & 2
    access = "write" if write else "access"
    if address & ~0xFFF == APIC_PAGE:
        name = APIC_REGISTERS.get(address & 0xFF0, f"offset {address & 0xFFF:#x}")
        return Detail(f"{access} of the local APIC, {name}")
    return Detail(
        f"{access} of {address & ~0xFFF:#x}",
        "raised the exception for an address beyond the physical address space",
    )


def _hypercall(_vendor: Vendor, exit_: VmExit) -> Detail:
    number = exit_.eax
    if exit_.operand >> 32 != ZPP_KEY:
        return Detail("not one of zpp's", "answered with #UD, as on the bare machine")
    return Detail(HYPERCALLS[number] if number < len(HYPERCALLS) else f"number {number}")


def _event(_vendor: Vendor, exit_: VmExit) -> Detail:
    if exit_.operand >> 8 & 7 == 2:
        return Detail("NMI", "kept an NMI for the guest, or took one that the core itself had sent")
    return Detail(exception(exit_.operand & 0xFF), "passed the exception on to the guest")


def _xsetbv(_vendor: Vendor, exit_: VmExit) -> Detail:
    return Detail(f"XCR{exit_.ecx}")


KINDS = {
    "cpuid": Kind(
        "asked the CPU for its features",
        "executed CPUID itself, cleared hidden features, and set bits from the guest's registers",
        "26.1.2", "15.9", _cpuid,
    ),
    "rdmsr": Kind(
        "read a model-specific register", "answered with #GP, or with the CPU's value",
        "26.1.3", "15.11", _rdmsr,
    ),
    "wrmsr": Kind(
        "wrote a model-specific register", "answered with #GP, or passed the value on",
        "26.1.3", "15.11", _wrmsr,
    ),
    "control register": Kind(
        "changed bits of a control register that belong to the host",
        "set the bits that the guest sees, and let it repeat the instruction",
        "26.1.3", "", _control_register,
    ),
    "cr0 write": Kind(
        "changed CR0, on a CPU that does not check the value", "checked it: #GP if it is not valid",
        "", "15.9",
    ),
    "machine check": Kind(
        "had a machine check during VM entry", "passed it on to the guest", "27.9", "",
    ),
    "nested paging": Kind(
        "accessed memory that nested paging protects",
        "emulated the store, and delivers INIT and SIPI to other CPUs itself",
        "29.3.3", "15.25.6", _nested_paging,
    ),
    "hypercall": Kind("called zpp", "executed the call", "26.1.2", "15.9", _hypercall),
    "event": Kind(
        "got an NMI or an exception", "passed it on to the guest", "26.2", "15.12", _event
    ),
    "nmi": Kind(
        "got an NMI", "kept it for the guest, or took one that the core itself had sent",
        "26.2", "15.13.2",
    ),
    "nmi window": Kind(
        "can take an NMI again", "injected the pending NMI", "26.2", "",
    ),
    "smi": Kind(
        "had to enter System Management Mode", "let the firmware's handler run in the host",
        "", "15.13.3",
    ),
    "init": Kind(
        "got an INIT from another CPU", "reset the vCPU, which then waits for a SIPI",
        "26.2", "15.13.4",
    ),
    "iret": Kind(
        "ended its NMI handler", "let the IRET run, so that the next NMI can arrive", "", "15.9"
    ),
    "stepping": Kind(
        "finished the IRET that the core stepped over, or had an exception in it",
        "passed on the guest's own exception, and injected the pending NMI", "", "15.12",
    ),
    "general protection": Kind(
        "caused #GP", "passed it on; #UD for a hidden instruction of AMD-V",
        "", "15.12",
    ),
    "invd": Kind(
        "discarded the caches (INVD)", "wrote them back to memory first (WBINVD)",
        "26.1.2", "15.9",
    ),
    "port": Kind(
        "used the I/O port that puts the machine to sleep",
        "did the access; logged it if the machine suspends to RAM", "26.1.3", "15.10",
    ),
    "xsetbv": Kind(
        "chose the state that XSAVE saves",
        "checked the value, and passed it on; #GP if it is not valid", "26.1.2", "15.9",
        _xsetbv,
    ),
    "task switch": Kind(
        "switched tasks by a task gate or TSS", "emulated the task switch", "26.2", "15.14.1"
    ),
    "single step": Kind(
        "executed one instruction under single-step",
        "checked whether a MOV to CR0 or CR4 worked", "26.5.2", "",
    ),
    "timer": Kind(
        "exited at once because the core asked for it",
        "checked for messages from other CPUs", "26.5.1", "",
    ),
    "triple fault": Kind(
        "had an exception that it could not handle", "shut this CPU down; the machine resets",
        "26.2", "15.14.3",
    ),
    "hidden": Kind(
        "executed an instruction of VT-x, SMX or AMD-V",
        "answered with #UD, as on a CPU without that extension", "26.1.2", "15.9",
    ),
    "fatal": Kind("could not continue", "ends with a crash report", "27.8", "15.6"),
    "off": Kind(
        "caused an exit that zpp does not enable", "ends with a crash report",
        "26.1.3", "15.9",
    ),
}  # fmt: skip
