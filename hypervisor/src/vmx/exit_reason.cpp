#include "vmx/exit_reason.hpp"

namespace zpp::vmx {

const char* exit_name(u64 reason)
{
    // clang-format off
    static constexpr const char* names[] = { // from 0
        "exception or NMI", "external interrupt", "triple fault", "INIT signal", "SIPI",
        "I/O SMI", "other SMI", "interrupt window", "NMI window", "task switch", "CPUID",
        "GETSEC", "HLT", "INVD", "INVLPG", "RDPMC", "RDTSC", "RSM", "VMCALL", "VMCLEAR",
        "VMLAUNCH", "VMPTRLD", "VMPTRST", "VMREAD", "VMRESUME", "VMWRITE", "VMXOFF", "VMXON",
        "control-register access", "MOV DR", "I/O instruction", "RDMSR", "WRMSR",
        "VM-entry failure: invalid guest state", "VM-entry failure: MSR loading", "?", "MWAIT",
        "monitor trap flag", "?", "MONITOR", "PAUSE", "VM-entry failure: machine check", "?",
        "TPR below threshold", "APIC access", "virtualized EOI", "access to GDTR or IDTR",
        "access to LDTR or TR", "EPT violation", "EPT misconfiguration", "INVEPT", "RDTSCP",
        "VMX-preemption timer expired", "INVVPID", "WBINVD or WBNOINVD", "XSETBV", "APIC write",
        "RDRAND", "INVPCID", "VMFUNC", "ENCLS", "RDSEED", "page-modification log full", "XSAVES",
        "XRSTORS", "PCONFIG", "SPP-related event", "UMWAIT", "TPAUSE", "LOADIWKEY", "ENCLV", "?",
        "ENQCMD PASID translation failure", "ENQCMDS PASID translation failure", "bus lock",
        "instruction timeout",
    };
    // clang-format on
    const auto basic = static_cast<u16>(reason);
    return basic < sizeof names / sizeof names[0] ? names[basic] : "?";
}

} // namespace zpp::vmx
