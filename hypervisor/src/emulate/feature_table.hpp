// The rows of features.hpp (SDM Vol. 2A, CPUID, and Vol. 3C, 25.6 to 25.8; AMD APM Vol. 3, App. E,
// and Vol. 2, App. B). docs/reference/cpu-features.md is made from them.
#pragma once
#include "emulate/features.hpp"

namespace zpp {

// clang-format off
inline constexpr Feature features[] = {
    {1, any_subleaf, Output::ecx, 1u << 5, Support::never, "VMX",
     "zpp uses it; there is no nesting"},
    {1, any_subleaf, Output::ecx, 1u << 6, Support::never, "SMX",
     "GETSEC exits always, and SENTER would measure a machine without zpp"},
    {1, any_subleaf, Output::edx, 1u << 21, no_need, "DS (BTS)",
     "the area is at a linear address of the guest, and an exit clears IA32_DEBUGCTL"},
    {6, any_subleaf, Output::eax, 1u << 19 | 1u << 23, no_need, "HFI, Thread Director",
     "the CPU writes at a physical address: IA32_HW_FEEDBACK_PTR cannot point into the core"},
    {7, 0, Output::ebx, 1u << 2, no_need, "SGX",
     "ENCLS and ENCLU run in the guest; its EPC is where it is on the bare CPU"},
    {7, 0, Output::ebx, 1u << 10, Support::invpcid, "INVPCID", "#UD without the control"},
    {7, 0, Output::ebx, 1u << 14, Support::bndcfgs, "MPX",
     "with IA32_BNDCFGS.EN, branches in the host would reset the guest's bounds"},
    {7, 0, Output::ebx, 1u << 25, Support::processor_trace, "Intel PT",
     "it would trace the host, and write to any physical address"},
    {7, 0, Output::ecx, 1u << 3, no_need, "PKU", "the host has no user pages"},
    {7, 0, Output::ecx, 1u << 5, Support::user_wait, "WAITPKG", "#UD without the control"},
    {7, 0, Output::ecx, 1u << 7, no_need, "CET_SS",
     "CR4.CET is 0 in the host of VT-x, so SSP and the MSRs stay the guest's; VMRUN switches them"},
    {7, 0, Output::ecx, 1u << 22, Support::rdtscp, "RDPID", "#UD without the control"},
    {7, 0, Output::ecx, 1u << 23, no_need, "Key Locker",
     "LOADIWKEY does not exit; no exit or entry touches the key"},
    {7, 0, Output::ecx, 1u << 24, no_need, "bus-lock detection",
     "traps at CPL 3 only; the bit of IA32_DEBUGCTL is the guest's"},
    {7, 0, Output::ecx, 1u << 29, no_need, "ENQCMD",
     "PASID translation is off, so IA32_PASID is the device's own"},
    {7, 0, Output::ecx, 1u << 31, no_need, "PKS",
     "CR4.PKS is 0 in the host, so IA32_PKRS stays the guest's"},
    {7, 0, Output::edx, 1u << 5, no_need, "UINTR",
     "the host takes no interrupts, so its MSRs stay the guest's"},
    {7, 0, Output::edx, 1u << 18, Support::pconfig, "PCONFIG", "#UD without the control"},
    {7, 0, Output::edx, 1u << 19, Support::arch_lbr, "architectural LBR",
     "it would record the host's branches"},
    {7, 0, Output::edx, 1u << 20, no_need, "CET_IBT", "as CET_SS"},
    {7, 1, Output::eax, 1u << 6, no_need, "LASS", "CR4.LASS is 0 in the host"},
    {7, 1, Output::eax, 1u << 17 | 1u << 20, Support::never, "FRED, NMI-source reporting",
     "an injected event would need FRED's event data"},
    {7, 1, Output::eax, 1u << 19, no_need, "WRMSRNS", "exits as WRMSR does"},
    {7, 1, Output::eax, 1u << 26, no_need, "LAM",
     "zpp reads guest memory at addresses of instructions only, which have no metadata"},
    {7, 1, Output::eax, 1u << 27, Support::never, "MSRLIST",
     "#UD without a tertiary control; with it, zpp would have to emulate lists"},
    {7, 1, Output::ebx, 1u << 1, Support::never, "PBNDKB", "needs a control that zpp does not set"},
    {7, 1, Output::ecx, 1u << 5, Support::never, "MSR_IMM",
     "its exits have numbers and operands of their own"},
    {7, 1, Output::edx, 1u << 15, Support::never, "USER_MSR",
     "needs a control that zpp does not set, and would reach MSRs from CPL 3"},
    {7, 1, Output::edx, 1u << 18, no_need, "CET_SSS",
     "no exit of zpp interrupts the switch to a shadow stack"},
    {7, 1, Output::edx, 1u << 21, Support::never, "APX_F",
     "MOV to CR0 or CR4 from R16 to R31 exits with a register that zpp cannot tell"},
    {0xd, 0, Output::eax, 3u << 3, Support::bndcfgs, "XCR0: MPX", "as MPX"},
    {0xd, 0, Output::eax, 1u << 19, Support::never, "XCR0: APX", "as APX_F"},
    {0xd, 1, Output::eax, 1u << 3, Support::xsaves, "XSAVES", "#UD without the control"},
    {0xd, 1, Output::ebx, ~0u, Support::xsaves, "size of the XSAVES area", "as XSAVES"},
    {0xd, 1, Output::ecx, ~0u, Support::xsaves, "IA32_XSS", "as XSAVES"},
    {0xd, 1, Output::edx, ~0u, Support::xsaves, "IA32_XSS, upper half", "as XSAVES"},
    {0xd, 1, Output::ecx, 1u << 8, Support::processor_trace, "IA32_XSS: PT",
     "XRSTORS would write the MSRs without an exit"},
    {0xd, 1, Output::ecx, 1u << 15, Support::arch_lbr, "IA32_XSS: LBR",
     "XRSTORS would write the MSRs without an exit"},
    {0xd, 3, Output::all, ~0u, Support::bndcfgs, "state of MPX, BNDREGS", "as MPX"},
    {0xd, 4, Output::all, ~0u, Support::bndcfgs, "state of MPX, BNDCSR", "as MPX"},
    {0xd, 8, Output::all, ~0u, Support::processor_trace, "state of Intel PT", "as Intel PT"},
    {0xd, 15, Output::all, ~0u, Support::arch_lbr, "state of LBR", "as architectural LBR"},
    {0xd, 19, Output::all, ~0u, Support::never, "state of APX", "as APX_F"},
    {0x12, 0, Output::eax, 1u << 5, Support::never, "ENCLV", "is for hypervisors that nest SGX"},
    {0x14, any_subleaf, Output::all, ~0u, Support::processor_trace, "Intel PT", "as Intel PT"},
    {0x1c, any_subleaf, Output::all, ~0u, Support::arch_lbr, "architectural LBR",
     "as architectural LBR"},
    {0x23, 0, Output::eax, 3u << 4, Support::perf_global_ctrl, "architectural PEBS",
     "a record is written through CR3, which in the host is another one"},
    {0x23, 4, Output::all, ~0u, Support::perf_global_ctrl, "architectural PEBS",
     "as architectural PEBS"},
    {0x23, 5, Output::all, ~0u, Support::perf_global_ctrl, "architectural PEBS",
     "as architectural PEBS"},
    {0x29, any_subleaf, Output::all, ~0u, Support::never, "APX", "as APX_F"},
    {0x80000001, any_subleaf, Output::ecx, 1u << 2, Support::never, "SVM", "as VMX"},
    {0x80000001, any_subleaf, Output::ecx, 1u << 10, no_need, "IBS",
     "counts in the host too, but writes to MSRs only, and its NMI waits for the guest"},
    {0x80000001, any_subleaf, Output::ecx, 1u << 12, Support::never, "SKINIT", "as SMX"},
    {0x80000001, any_subleaf, Output::ecx, 1u << 15, no_need, "LWP", "works at CPL 3 only"},
    {0x80000001, any_subleaf, Output::edx, 1u << 27, Support::rdtscp, "RDTSCP", "#UD without the control"},
    {0x80000008, any_subleaf, Output::ebx, 1u << 3, Support::invlpgb, "INVLPGB, TLBSYNC",
     "#UD without the bit in the VMCB; the guest has the same ASID on each CPU"},
    {0x80000008, any_subleaf, Output::edx, 0xffff, Support::invlpgb, "pages for each INVLPGB", "as INVLPGB"},
    {0x8000000a, any_subleaf, Output::all, ~0u, Support::never, "features of SVM", "as SVM"},
    {0x8000001f, any_subleaf, Output::all, ~0u, Support::never, "SME, SEV",
     "encrypted addresses are aliases of the core's memory"},
    {0x80000021, any_subleaf, Output::eax, 1u << 24, no_need, "ERAPS",
     "the VMCB leaves the return address predictor of the guest at its default size"},
    {0x80000022, any_subleaf, Output::eax, 1u << 0, no_need, "PerfMonV2",
     "counters count in the host too, but write no memory"},
    {0x80000022, any_subleaf, Output::eax, 1u << 1, no_need, "LBR v2",
     "records branches of the host too: addresses of the core, no data"},
    {0x80000023, any_subleaf, Output::all, ~0u, Support::never, "keys of memory encryption",
     "as SME"},
    {0x80000025, any_subleaf, Output::all, ~0u, Support::never, "RMP table of SEV-SNP", "as SME"},
};

inline constexpr FeatureMsrs feature_msrs[] = {
    {x86::Msr::ia32_user_msr_ctl, x86::Msr::ia32_user_msr_ctl, Support::never, "USER_MSR"},
    {x86::Msr::ia32_fred_rsp0, x86::Msr::ia32_fred_config, Support::never, "FRED"},
    {x86::Msr::ia32_rtit_output_base, x86::Msr::ia32_rtit_output_mask_ptrs,
     Support::processor_trace, "Intel PT"},
    {x86::Msr::ia32_rtit_ctl, x86::Msr::ia32_rtit_cr3_match, Support::processor_trace, "Intel PT"},
    {x86::Msr::ia32_rtit_addr0_a, x86::Msr::ia32_rtit_addr3_b, Support::processor_trace,
     "Intel PT"},
    {x86::Msr::ia32_lbr_0_info, x86::Msr::ia32_lbr_31_info, Support::arch_lbr,
     "architectural LBR"},
    {x86::Msr::ia32_lbr_ctl, x86::Msr::ia32_lbr_depth, Support::arch_lbr, "architectural LBR"},
    {x86::Msr::ia32_lbr_0_from_ip, x86::Msr::ia32_lbr_31_from_ip, Support::arch_lbr,
     "architectural LBR"},
    {x86::Msr::ia32_lbr_0_to_ip, x86::Msr::ia32_lbr_31_to_ip, Support::arch_lbr,
     "architectural LBR"},
};
// clang-format on

// The bits that are hidden on every CPU, of a leaf without subleaves.
constexpr u32 always_hidden_bits(u32 leaf, Output output)
{
    u32 bits = 0;
    for (const Feature& feature : features)
        if (feature.leaf == leaf && feature.output == output && feature.needs == Support::never)
            bits |= feature.bits;
    return bits;
}

// The leaves with a feature that zpp may hide, as a bit map of `first` to `first` + 63.
constexpr u64 leaves_with_hidden_bits(u32 first)
{
    u64 map = 0;
    for (const Feature& feature : features)
        if (feature.leaf - first < 64 && feature.needs != no_need)
            map |= bit(feature.leaf - first);
    return map;
}

} // namespace zpp
