"""Exit reasons of VT-x (SDM Vol. 3D, App. C) and exit codes of AMD-V (APM Vol. 2, App. C).

A test compares the names with those of the core: vmx/exit_reason.hpp, svm/exit_code.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass

from efi_image.formats.vm_trace import Vendor, VmExit
from efi_image.inspect.vm_exits import KINDS, Detail, Kind

_VTX = (
    (0, "exception or NMI", "event"),
    (1, "external interrupt", "off"),
    (2, "triple fault", "triple fault"),
    (3, "INIT signal", "init"),
    (4, "SIPI", "off"),
    (5, "I/O SMI", "off"),
    (6, "other SMI", "off"),
    (7, "interrupt window", "off"),
    (8, "NMI window", "nmi window"),
    (9, "task switch", "task switch"),
    (10, "CPUID", "cpuid"),
    (11, "GETSEC", "hidden"),
    (12, "HLT", "off"),
    (13, "INVD", "invd"),
    (14, "INVLPG", "off"),
    (15, "RDPMC", "off"),
    (16, "RDTSC", "off"),
    (17, "RSM", "off"),
    (18, "VMCALL", "hypercall"),
    (19, "VMCLEAR", "hidden"),
    (20, "VMLAUNCH", "hidden"),
    (21, "VMPTRLD", "hidden"),
    (22, "VMPTRST", "hidden"),
    (23, "VMREAD", "hidden"),
    (24, "VMRESUME", "hidden"),
    (25, "VMWRITE", "hidden"),
    (26, "VMXOFF", "hidden"),
    (27, "VMXON", "hidden"),
    (28, "control-register access", "control register"),
    (29, "MOV DR", "off"),
    (30, "I/O instruction", "port"),
    (31, "RDMSR", "rdmsr"),
    (32, "WRMSR", "wrmsr"),
    (33, "VM-entry failure: invalid guest state", "fatal"),
    (34, "VM-entry failure: MSR loading", "fatal"),
    (36, "MWAIT", "off"),
    (37, "monitor trap flag", "single step"),
    (39, "MONITOR", "off"),
    (40, "PAUSE", "off"),
    (41, "VM-entry failure: machine check", "machine check"),
    (43, "TPR below threshold", "off"),
    (44, "APIC access", "off"),
    (45, "virtualized EOI", "off"),
    (46, "access to GDTR or IDTR", "off"),
    (47, "access to LDTR or TR", "off"),
    (48, "EPT violation", "nested paging"),
    (49, "EPT misconfiguration", "fatal"),
    (50, "INVEPT", "hidden"),
    (51, "RDTSCP", "off"),
    (52, "VMX-preemption timer expired", "timer"),
    (53, "INVVPID", "hidden"),
    (54, "WBINVD or WBNOINVD", "off"),
    (55, "XSETBV", "xsetbv"),
    (56, "APIC write", "off"),
    (57, "RDRAND", "off"),
    (58, "INVPCID", "off"),
    (59, "VMFUNC", "hidden"),
    (60, "ENCLS", "off"),
    (61, "RDSEED", "off"),
    (62, "page-modification log full", "off"),
    (63, "XSAVES", "off"),
    (64, "XRSTORS", "off"),
    (65, "PCONFIG", "off"),
    (66, "SPP-related event", "off"),
    (67, "UMWAIT", "off"),
    (68, "TPAUSE", "off"),
    (69, "LOADIWKEY", "off"),
    (70, "ENCLV", "off"),
    (72, "ENQCMD PASID translation failure", "off"),
    (73, "ENQCMDS PASID translation failure", "off"),
    (74, "bus lock", "off"),
    (75, "instruction timeout", "off"),
    (76, "SEAMCALL", "hidden"),
    (77, "TDCALL", "hidden"),
    (78, "RDMSRLIST", "off"),
    (79, "WRMSRLIST", "off"),
    (80, "URDMSR", "off"),
    (81, "UWRMSR", "off"),
    (84, "RDMSR with an immediate", "rdmsr"),
    (85, "WRMSRNS with an immediate", "wrmsr"),
)

# first and last code
_AMDV = (
    (0x00, 0x0F, "CR_READ", "off"),
    (0x10, 0x1F, "CR_WRITE", "off"),
    (0x20, 0x2F, "DR_READ", "off"),
    (0x30, 0x3F, "DR_WRITE", "off"),
    (0x40, 0x5F, "EXCP", "stepping"),
    (0x60, 0x60, "INTR", "off"),
    (0x61, 0x61, "NMI", "nmi"),
    (0x62, 0x62, "SMI", "smi"),
    (0x63, 0x63, "INIT", "init"),
    (0x64, 0x64, "VINTR", "off"),
    (0x65, 0x65, "CR0_SEL_WRITE", "cr0 write"),
    (0x66, 0x66, "IDTR_READ", "off"),
    (0x67, 0x67, "GDTR_READ", "off"),
    (0x68, 0x68, "LDTR_READ", "off"),
    (0x69, 0x69, "TR_READ", "off"),
    (0x6A, 0x6A, "IDTR_WRITE", "off"),
    (0x6B, 0x6B, "GDTR_WRITE", "off"),
    (0x6C, 0x6C, "LDTR_WRITE", "off"),
    (0x6D, 0x6D, "TR_WRITE", "off"),
    (0x6E, 0x6E, "RDTSC", "off"),
    (0x6F, 0x6F, "RDPMC", "off"),
    (0x70, 0x70, "PUSHF", "off"),
    (0x71, 0x71, "POPF", "off"),
    (0x72, 0x72, "CPUID", "cpuid"),
    (0x73, 0x73, "RSM", "off"),
    (0x74, 0x74, "IRET", "iret"),
    (0x75, 0x75, "SWINT", "off"),
    (0x76, 0x76, "INVD", "invd"),
    (0x77, 0x77, "PAUSE", "off"),
    (0x78, 0x78, "HLT", "off"),
    (0x79, 0x79, "INVLPG", "off"),
    (0x7A, 0x7A, "INVLPGA", "hidden"),
    (0x7B, 0x7B, "IOIO", "port"),
    (0x7C, 0x7C, "MSR", "msr"),
    (0x7D, 0x7D, "TASK_SWITCH", "off"),
    (0x7E, 0x7E, "FERR_FREEZE", "off"),
    (0x7F, 0x7F, "SHUTDOWN", "triple fault"),
    (0x80, 0x80, "VMRUN", "hidden"),
    (0x81, 0x81, "VMMCALL", "hypercall"),
    (0x82, 0x82, "VMLOAD", "hidden"),
    (0x83, 0x83, "VMSAVE", "hidden"),
    (0x84, 0x84, "STGI", "hidden"),
    (0x85, 0x85, "CLGI", "hidden"),
    (0x86, 0x86, "SKINIT", "hidden"),
    (0x87, 0x87, "RDTSCP", "off"),
    (0x88, 0x88, "ICEBP", "off"),
    (0x89, 0x89, "WBINVD", "off"),
    (0x8A, 0x8A, "MONITOR", "off"),
    (0x8B, 0x8B, "MWAIT", "off"),
    (0x8C, 0x8C, "MWAIT_CONDITIONAL", "off"),
    (0x8D, 0x8D, "XSETBV", "off"),
    (0x8E, 0x8E, "RDPRU", "off"),
    (0x8F, 0x8F, "EFER_WRITE_TRAP", "off"),
    (0x90, 0x9F, "CR_WRITE_TRAP", "off"),
    (0xA0, 0xA0, "INVLPGB", "off"),
    (0xA1, 0xA1, "INVLPGB_ILLEGAL", "off"),
    (0xA2, 0xA2, "INVPCID", "off"),
    (0xA3, 0xA3, "MCOMMIT", "off"),
    (0xA4, 0xA4, "TLBSYNC", "off"),
    (0xA5, 0xA5, "BUSLOCK", "off"),
    (0xA6, 0xA6, "IDLE_HLT", "off"),
    (0x400, 0x400, "NPF", "nested paging"),
    (0x401, 0x401, "AVIC_INCOMPLETE_IPI", "off"),
    (0x402, 0x402, "AVIC_NOACCEL", "off"),
    (0x403, 0x403, "VMGEXIT", "off"),
)

_GENERAL_PROTECTION = 0x4D
_MSR = 0x7C


@dataclass(frozen=True, slots=True)
class Reason:
    """An exit reason or exit code; `kind` is a key of KINDS."""

    number: int
    name: str
    kind: str


def _table() -> dict[Vendor, dict[int, Reason]]:
    amdv = {}
    for first, last, name, kind in _AMDV:
        for number in range(first, last + 1):
            suffix = f"{number - first}" if last > first else ""
            amdv[number] = Reason(number, f"{name}{suffix}", kind)
    # the other exceptions are intercepted only while the core steps over an IRET
    amdv[_GENERAL_PROTECTION] = Reason(_GENERAL_PROTECTION, "EXCP13", "general protection")
    return {Vendor.VTX: {row[0]: Reason(*row) for row in _VTX}, Vendor.AMDV: amdv}


_REASONS = _table()


def reason_of(vendor: Vendor, number: int) -> Reason:
    """The row of an exit reason or exit code; a number that the manual does not have is fatal."""
    basic = number & 0xFFFF if vendor is Vendor.VTX else number
    return _REASONS[vendor].get(basic, Reason(basic, f"reason {basic:#x}", "fatal"))


def kind_of(vendor: Vendor, exit_: VmExit) -> Kind:
    """The kind of the exit; an MSR exit of AMD-V is a read or a write."""
    return KINDS[_kind_key(vendor, exit_)]


def name_of(vendor: Vendor, exit_: VmExit) -> str:
    """The manual's name of an exit; an MSR exit of AMD-V has the instruction with it."""
    name = reason_of(vendor, exit_.reason).name
    if vendor is Vendor.AMDV and exit_.reason == _MSR:
        return f"{name} ({_kind_key(vendor, exit_).upper()})"
    return name


def detail_of(vendor: Vendor, exit_: VmExit) -> Detail:
    """The sub-kind of an exit."""
    return kind_of(vendor, exit_).detail(vendor, exit_)


def _kind_key(vendor: Vendor, exit_: VmExit) -> str:
    key = reason_of(vendor, exit_.reason).kind
    if key == "msr":
        return "wrmsr" if exit_.qualification else "rdmsr"
    return key
