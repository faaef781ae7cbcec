"""Names of the objects of VM exits: CPUID leaves, MSRs, APIC registers, hypercalls, exceptions."""

from __future__ import annotations

from dataclasses import dataclass

ZPP_KEY = 0x7A7070  # zpp/hypercall.h: in ECX of CPUID, and above a hypercall's number in RAX

# Intel SDM Vol. 2A, CPUID; AMD APM Vol. 3, App. E
CPUID_LEAVES = {
    0x0: "highest leaf and vendor",
    0x1: "family, model and features",
    0x2: "caches and TLBs",
    0x4: "cache parameters",
    0x5: "MONITOR and MWAIT",
    0x6: "thermal and power management",
    0x7: "more features",
    0x9: "direct cache access",
    0xA: "performance counters",
    0xB: "topology",
    0xD: "XSAVE state and sizes",
    0xF: "resource monitoring",
    0x10: "resource allocation",
    0x12: "SGX",
    0x14: "Intel PT",
    0x15: "TSC frequency",
    0x16: "CPU frequencies",
    0x18: "TLB parameters",
    0x19: "Key Locker",
    0x1A: "kind of core",
    0x1C: "last branch records",
    0x1D: "tiles",
    0x1E: "tile multiplication",
    0x1F: "topology with dies",
    0x40000000: "hypervisor's signature",
    0x40000001: "hypervisor's version and features",
    0x80000000: "highest extended leaf",
    0x80000001: "extended features",
    0x80000002: "brand string, first part",
    0x80000003: "brand string, second part",
    0x80000004: "brand string, third part",
    0x80000005: "L1 caches and TLBs",
    0x80000006: "L2 and L3 caches",
    0x80000007: "power management and invariant TSC",
    0x80000008: "address sizes",
    0x8000000A: "AMD-V features",
    0x8000001B: "instruction-based sampling",
    0x8000001D: "cache parameters",
    0x8000001E: "topology",
    0x8000001F: "memory encryption",
    0x80000021: "extended features 2",
    0x80000022: "performance monitoring",
}


@dataclass(frozen=True, slots=True)
class MsrRange:
    """MSRs whose accesses exit, and what the core did; '' for an access that does not exit."""

    first: int
    last: int
    name: str
    read: str
    wrote: str


_LOCKED = "answered with #GP, as if the firmware had locked the register"
_SAME = "accepted only the value that the register has; answered others with #GP"
_ABSENT = "answered with #GP, as on a CPU without that feature"
_MTRR = "passed the value on, and updated the memory types of nested paging"
_ROUTING = "passed the value on unless it moves the core's memory; then #GP"
_FAULTING = "passed the value on, and noted whether CPUID faulting is on"
_APIC = "passed the value on unless it moves the local APIC; then #GP"
_ICR = "sent the interrupt, or delivered the INIT or SIPI to the other vCPU itself"

# Those of vmx/msr.cpp, svm/msr.cpp, emulate/msr.cpp and emulate/feature_table.hpp.
# Intel SDM Vol. 4; AMD APM Vol. 2, App. A.
MSRS = (
    MsrRange(0x1B, 0x1B, "IA32_APIC_BASE", "", _APIC),
    MsrRange(0x1C, 0x1C, "IA32_USER_MSR_CTL", _ABSENT, _ABSENT),
    MsrRange(0x3A, 0x3A, "IA32_FEATURE_CONTROL",
             "showed VT-x as switched off and locked by the firmware", _LOCKED),
    MsrRange(0x79, 0x79, "IA32_BIOS_UPDT_TRIG", "",
             "checked the microcode update, and loaded it if it fits this CPU"),
    MsrRange(0x9B, 0x9B, "IA32_SMM_MONITOR_CTL", _ABSENT, _ABSENT),
    MsrRange(0x140, 0x140, "MISC_FEATURES_ENABLES", "", _FAULTING),
    MsrRange(0x1A0, 0x1A0, "IA32_MISC_ENABLE", "showed the CPU's value, without PEBS", ""),
    MsrRange(0x1CC, 0x1D4, "FRED registers", _ABSENT, _ABSENT),
    MsrRange(0x1F4, 0x1F5, "PRMRR", "", _LOCKED),
    MsrRange(0x1FB, 0x1FB, "PRMRR_VALID_CONFIG", "", _LOCKED),
    MsrRange(0x200, 0x21F, "IA32_MTRR_PHYSBASE/MASK", "", _MTRR),
    MsrRange(0x250, 0x26F, "IA32_MTRR_FIX", "", _MTRR),
    MsrRange(0x2A0, 0x2A0, "PRMRR_BASE_0", "", _LOCKED),
    MsrRange(0x2F4, 0x2F5, "UNCORE_PRMRR", "", _LOCKED),
    MsrRange(0x2FF, 0x2FF, "IA32_MTRR_DEF_TYPE", "", _MTRR),
    MsrRange(0x38F, 0x38F, "IA32_PERF_GLOBAL_CTRL", "showed the value that VM entry loads",
             "saved the value, which VM entry loads"),
    MsrRange(0x3F1, 0x3F1, "IA32_PEBS_ENABLE", "showed 0", "ignored the write"),
    MsrRange(0x480, 0x493, "VMX capabilities",
             "answered with #GP: VT-x is hidden from the guest", _ABSENT),
    MsrRange(0x560, 0x587, "Intel PT", _ABSENT, _ABSENT),
    MsrRange(0x830, 0x830, "IA32_X2APIC_ICR", "", _ICR),
    MsrRange(0x982, 0x984, "IA32_TME", "", _LOCKED),
    MsrRange(0xDA0, 0xDA0, "IA32_XSS", "",
             "passed the value on unless it enables hidden state; then #GP"),
    MsrRange(0x1200, 0x121F, "last branch records", _ABSENT, _ABSENT),
    MsrRange(0x1400, 0x1401, "IA32_SEAMRR", "", _LOCKED),
    MsrRange(0x14CE, 0x14CF, "last branch records", _ABSENT, _ABSENT),
    MsrRange(0x1500, 0x161F, "last branch records", _ABSENT, _ABSENT),
    MsrRange(0x17D0, 0x17D0, "IA32_HW_FEEDBACK_PTR", "",
             "passed the address on unless it is in the core's memory; then #GP"),
    MsrRange(0xC0000080, 0xC0000080, "EFER", "showed the guest's value, with SVME as 0",
             "passed the value on, but kept SVME set, which it needs itself"),
    MsrRange(0xC0010010, 0xC0010010, "SYSCFG", "showed memory encryption as switched off",
             "passed the value on unless it moves memory or enables encryption; then #GP"),
    MsrRange(0xC0010015, 0xC0010015, "HWCR", "", _FAULTING),
    MsrRange(0xC0010016, 0xC0010019, "IORR", "", _ROUTING),
    MsrRange(0xC001001A, 0xC001001A, "TOP_MEM", "", _ROUTING),
    MsrRange(0xC001001D, 0xC001001D, "TOP_MEM2", "", _ROUTING),
    MsrRange(0xC0010020, 0xC0010020, "PATCH_LOADER", "",
             "checked the microcode patch, and loaded it if it fits this CPU"),
    MsrRange(0xC0010058, 0xC0010058, "MMIO_CFG_BASE_ADDR", "", _ROUTING),
    MsrRange(0xC0010111, 0xC0010113, "SMM_BASE, SMM_ADDR or SMM_MASK", "", _SAME),
    MsrRange(0xC0010114, 0xC0010114, "VM_CR",
             "showed AMD-V as switched off and locked by the firmware", "ignored the write"),
    MsrRange(0xC0010116, 0xC0010116, "SMM_CTL", "", _LOCKED),
    MsrRange(0xC0010117, 0xC0010117, "VM_HSAVE_PA", _ABSENT,
             "accepted 0, without effect; answered other values with #GP"),
    MsrRange(0xC0010118, 0xC0010118, "SVM_KEY", _ABSENT, _ABSENT),
    MsrRange(0xC0010119, 0xC0010119, "SMM_KEY", "", _LOCKED),
    MsrRange(0xC0010132, 0xC0010136, "RMP", _ABSENT, _ABSENT),
)  # fmt: skip

# SDM Vol. 3A, table 11-1
APIC_REGISTERS = {
    0x20: "ID", 0x80: "TPR", 0xB0: "EOI", 0xD0: "logical destination",
    0xE0: "destination format", 0xF0: "spurious vector", 0x280: "error status", 0x2F0: "LVT CMCI",
    0x300: "ICR", 0x310: "ICR, upper half", 0x320: "LVT timer", 0x330: "LVT thermal",
    0x340: "LVT performance", 0x350: "LVT LINT0", 0x360: "LVT LINT1", 0x370: "LVT error",
    0x380: "timer's initial count", 0x3E0: "timer's divider",
}  # fmt: skip
APIC_PAGE = 0xFEE00000

# zpp/hypercall.h
HYPERCALLS = ("version", "CPU count", "exit count", "read log", "memory", "devirtualize",
              "confirm", "commit", "end")  # fmt: skip

EXCEPTIONS = ("DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "CSO", "TS", "NP", "SS",
              "GP", "PF", "15", "MF", "AC", "MC", "XM", "VE", "CP")  # fmt: skip


def find_msr(number: int) -> MsrRange | None:
    """The row of an MSR; None if its accesses do not exit as far as this tool knows."""
    return next((row for row in MSRS if row.first <= number <= row.last), None)


def exception(vector: int) -> str:
    """The name of an exception, such as `#GP`."""
    return f"#{EXCEPTIONS[vector]}" if vector < len(EXCEPTIONS) else f"vector {vector}"
