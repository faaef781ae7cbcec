#include "svm/exit_code.hpp"

namespace zpp::svm {

const char* exit_name(u64 code)
{
    constexpr u64 first_named = 0x60;
    // clang-format off
    static constexpr const char* names[] = {
        "INTR", "NMI", "SMI", "INIT", "VINTR", "CR0_SEL_WRITE", "IDTR_READ", "GDTR_READ",
        "LDTR_READ", "TR_READ", "IDTR_WRITE", "GDTR_WRITE", "LDTR_WRITE", "TR_WRITE", "RDTSC",
        "RDPMC", "PUSHF", "POPF", "CPUID", "RSM", "IRET", "SWINT", "INVD", "PAUSE", "HLT",
        "INVLPG", "INVLPGA", "IOIO", "MSR", "TASK_SWITCH", "FERR_FREEZE", "SHUTDOWN", "VMRUN",
        "VMMCALL", "VMLOAD", "VMSAVE", "STGI", "CLGI", "SKINIT", "RDTSCP", "ICEBP", "WBINVD",
        "MONITOR", "MWAIT", "MWAIT_CONDITIONAL", "XSETBV", "RDPRU", "EFER_WRITE_TRAP",
    };
    // clang-format on
    constexpr u64 named = sizeof names / sizeof names[0];
    struct Range {
        u64 first, last;
        const char* name;
    };
    static constexpr Range ranges[] = {
        {0x00, 0x0f, "CR_READ"},
        {0x10, 0x1f, "CR_WRITE"},
        {0x20, 0x2f, "DR_READ"},
        {0x30, 0x3f, "DR_WRITE"},
        {0x40, 0x5f, "EXCP"},
        {0x90, 0x9f, "CR_WRITE_TRAP"},
        {0xa0, 0xa0, "INVLPGB"},
        {0xa1, 0xa1, "INVLPGB_ILLEGAL"},
        {0xa2, 0xa2, "INVPCID"},
        {0xa3, 0xa3, "MCOMMIT"},
        {0xa4, 0xa4, "TLBSYNC"},
        {0xa5, 0xa5, "BUSLOCK"},
        {0xa6, 0xa6, "IDLE_HLT"},
        {0x400, 0x400, "NPF"},
        {0x401, 0x401, "AVIC_INCOMPLETE_IPI"},
        {0x402, 0x402, "AVIC_NOACCEL"},
        {0x403, 0x403, "VMGEXIT"},
    };
    if (code - first_named < named)
        return names[code - first_named];
    for (const Range& range : ranges)
        if (code >= range.first && code <= range.last)
            return range.name;
    return static_cast<std::int32_t>(code) == exit_invalid ? "INVALID" : "?";
}

} // namespace zpp::svm
