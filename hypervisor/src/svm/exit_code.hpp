// Exit codes (AMD APM Vol. 2, App. C).
#pragma once
#include "lib/types.hpp"

namespace zpp::svm {

// Those that zpp handles.
enum class ExitCode : u64 {
    exception_0 = 0x40, // to exception_31, by vector
    exception_31 = 0x5f,
    general_protection = 0x4d, // EXCP13
    nmi = 0x61,
    smi = 0x62,
    init = 0x63,
    cr0_selective_write = 0x65,
    cpuid = 0x72,
    iret = 0x74,
    invd = 0x76,
    invlpga = 0x7a,
    io = 0x7b,
    msr = 0x7c,
    shutdown = 0x7f,
    vmrun = 0x80,
    vmmcall = 0x81,
    vmload = 0x82,
    vmsave = 0x83,
    stgi = 0x84,
    clgi = 0x85,
    skinit = 0x86,
    nested_page_fault = 0x400,
};

constexpr bool is_exception(u64 code)
{
    return code >= static_cast<u64>(ExitCode::exception_0) &&
           code <= static_cast<u64>(ExitCode::exception_31);
}

// VMEXIT_INVALID. QEMU's TCG writes only the lower half.
constexpr std::int32_t exit_invalid = -1;
constexpr u64 exit_invalid_code = ~u64{0};

// Index into Vcpu::exits.
constexpr u64 nested_page_fault_counter = 0xa8; // its exit code is too large for an index
constexpr u64 exit_counter(u64 code)
{
    return code == static_cast<u64>(ExitCode::nested_page_fault) ? nested_page_fault_counter : code;
}

enum class ExitAnswer : u8 {
    handled,
    undefined_opcode, // the guest gets #UD, as on a CPU that does not have the hidden feature
    intercept_off,    // cannot happen: its intercept, or the feature's control, is 0
    step,             // intercepted only while an instruction is stepped over; see step.hpp
    crash,            // only by a fault of the core
};

struct ExitCodeRow {
    u64 first, last;
    const char* name; // in the manual, without VMEXIT_
    ExitAnswer answer;
};

// What the core does about each exit code.
// clang-format off
inline constexpr ExitCodeRow exit_codes[] = {
    {0x00, 0x0f, "CR_READ", ExitAnswer::intercept_off},
    {0x10, 0x1f, "CR_WRITE", ExitAnswer::intercept_off},
    {0x20, 0x2f, "DR_READ", ExitAnswer::intercept_off},
    {0x30, 0x3f, "DR_WRITE", ExitAnswer::intercept_off},
    {0x40, 0x4c, "EXCP", ExitAnswer::step},
    {0x4d, 0x4d, "EXCP", ExitAnswer::handled}, // #GP
    {0x4e, 0x5f, "EXCP", ExitAnswer::step},
    {0x60, 0x60, "INTR", ExitAnswer::intercept_off},
    {0x61, 0x61, "NMI", ExitAnswer::handled},
    {0x62, 0x62, "SMI", ExitAnswer::handled},
    {0x63, 0x63, "INIT", ExitAnswer::handled},
    {0x64, 0x64, "VINTR", ExitAnswer::intercept_off},
    {0x65, 0x65, "CR0_SEL_WRITE", ExitAnswer::handled}, // only where the CPU needs it; see cr0.hpp
    {0x66, 0x66, "IDTR_READ", ExitAnswer::intercept_off},
    {0x67, 0x67, "GDTR_READ", ExitAnswer::intercept_off},
    {0x68, 0x68, "LDTR_READ", ExitAnswer::intercept_off},
    {0x69, 0x69, "TR_READ", ExitAnswer::intercept_off},
    {0x6a, 0x6a, "IDTR_WRITE", ExitAnswer::intercept_off},
    {0x6b, 0x6b, "GDTR_WRITE", ExitAnswer::intercept_off},
    {0x6c, 0x6c, "LDTR_WRITE", ExitAnswer::intercept_off},
    {0x6d, 0x6d, "TR_WRITE", ExitAnswer::intercept_off},
    {0x6e, 0x6e, "RDTSC", ExitAnswer::intercept_off},
    {0x6f, 0x6f, "RDPMC", ExitAnswer::intercept_off},
    {0x70, 0x70, "PUSHF", ExitAnswer::intercept_off},
    {0x71, 0x71, "POPF", ExitAnswer::intercept_off},
    {0x72, 0x72, "CPUID", ExitAnswer::handled},
    {0x73, 0x73, "RSM", ExitAnswer::intercept_off},
    {0x74, 0x74, "IRET", ExitAnswer::handled},
    {0x75, 0x75, "SWINT", ExitAnswer::intercept_off},
    {0x76, 0x76, "INVD", ExitAnswer::handled},
    {0x77, 0x77, "PAUSE", ExitAnswer::intercept_off},
    {0x78, 0x78, "HLT", ExitAnswer::intercept_off},
    {0x79, 0x79, "INVLPG", ExitAnswer::intercept_off},
    {0x7a, 0x7a, "INVLPGA", ExitAnswer::undefined_opcode},
    {0x7b, 0x7b, "IOIO", ExitAnswer::handled}, // of the port that puts the machine to sleep
    {0x7c, 0x7c, "MSR", ExitAnswer::handled},
    {0x7d, 0x7d, "TASK_SWITCH", ExitAnswer::intercept_off},
    {0x7e, 0x7e, "FERR_FREEZE", ExitAnswer::intercept_off},
    {0x7f, 0x7f, "SHUTDOWN", ExitAnswer::handled},
    {0x80, 0x80, "VMRUN", ExitAnswer::undefined_opcode},
    {0x81, 0x81, "VMMCALL", ExitAnswer::handled},
    {0x82, 0x82, "VMLOAD", ExitAnswer::undefined_opcode},
    {0x83, 0x83, "VMSAVE", ExitAnswer::undefined_opcode},
    {0x84, 0x84, "STGI", ExitAnswer::undefined_opcode},
    {0x85, 0x85, "CLGI", ExitAnswer::undefined_opcode},
    {0x86, 0x86, "SKINIT", ExitAnswer::undefined_opcode},
    {0x87, 0x87, "RDTSCP", ExitAnswer::intercept_off},
    {0x88, 0x88, "ICEBP", ExitAnswer::intercept_off},
    {0x89, 0x89, "WBINVD", ExitAnswer::intercept_off},
    {0x8a, 0x8a, "MONITOR", ExitAnswer::intercept_off},
    {0x8b, 0x8b, "MWAIT", ExitAnswer::intercept_off},
    {0x8c, 0x8c, "MWAIT_CONDITIONAL", ExitAnswer::intercept_off},
    {0x8d, 0x8d, "XSETBV", ExitAnswer::intercept_off},
    {0x8e, 0x8e, "RDPRU", ExitAnswer::intercept_off},
    {0x8f, 0x8f, "EFER_WRITE_TRAP", ExitAnswer::intercept_off},
    {0x90, 0x9f, "CR_WRITE_TRAP", ExitAnswer::intercept_off},
    {0xa0, 0xa0, "INVLPGB", ExitAnswer::intercept_off},
    {0xa1, 0xa1, "INVLPGB_ILLEGAL", ExitAnswer::intercept_off},
    {0xa2, 0xa2, "INVPCID", ExitAnswer::intercept_off},
    {0xa3, 0xa3, "MCOMMIT", ExitAnswer::intercept_off},
    {0xa4, 0xa4, "TLBSYNC", ExitAnswer::intercept_off},
    {0xa5, 0xa5, "BUSLOCK", ExitAnswer::intercept_off},
    {0xa6, 0xa6, "IDLE_HLT", ExitAnswer::intercept_off},
    {0x400, 0x400, "NPF", ExitAnswer::handled},
    {0x401, 0x401, "AVIC_INCOMPLETE_IPI", ExitAnswer::intercept_off},
    {0x402, 0x402, "AVIC_NOACCEL", ExitAnswer::intercept_off},
    {0x403, 0x403, "VMGEXIT", ExitAnswer::intercept_off}, // only guests of SEV-ES
    {exit_invalid_code, exit_invalid_code, "INVALID", ExitAnswer::crash},
};
// clang-format on

// nullptr if the manual has none.
const ExitCodeRow* find_exit_code(u64 code);

// The manual's name of an exit code, without VMEXIT_; "?" if it has none.
const char* exit_name(u64 code);

} // namespace zpp::svm
