// Basic exit reasons (SDM Vol. 3D, App. C), and what the core does about each.
#pragma once
#include "lib/types.hpp"

namespace zpp::vmx {

// Those that zpp handles.
enum class ExitReason : u32 {
    exception_or_nmi = 0,
    triple_fault = 2,
    init = 3,
    nmi_window = 8,
    task_switch = 9,
    cpuid = 10,
    invd = 13,
    vmcall = 18,
    control_register = 28,
    io_instruction = 30,
    rdmsr = 31,
    wrmsr = 32,
    entry_failed_guest_state = 33,
    entry_failed_msr_loading = 34,
    monitor_trap = 37,
    entry_failed_machine_check = 41,
    ept_violation = 48,
    ept_misconfiguration = 49,
    preemption_timer = 52,
    xsetbv = 55,
    rdmsr_immediate = 84,
    wrmsr_immediate = 85,
};

enum class ExitAnswer : u8 {
    handled,
    undefined_opcode, // the guest gets #UD, as on a CPU that does not have the hidden feature
    control_off,      // cannot happen: its VM-execution control is 0, or its bitmap is
    crash,            // only by a fault of the core
};

struct ExitReasonRow {
    u16 reason;
    const char* name;
    ExitAnswer answer;
};

// clang-format off
inline constexpr ExitReasonRow exit_reasons[] = {
    {0, "exception or NMI", ExitAnswer::handled}, // the exception bitmap is 0
    {1, "external interrupt", ExitAnswer::control_off},
    {2, "triple fault", ExitAnswer::handled},
    {3, "INIT signal", ExitAnswer::handled},
    {4, "SIPI", ExitAnswer::control_off}, // only in the activity state wait-for-SIPI
    {5, "I/O SMI", ExitAnswer::control_off}, // only with an SMM-transfer monitor
    {6, "other SMI", ExitAnswer::control_off},
    {7, "interrupt window", ExitAnswer::control_off},
    {8, "NMI window", ExitAnswer::handled},
    {9, "task switch", ExitAnswer::handled},
    {10, "CPUID", ExitAnswer::handled},
    {11, "GETSEC", ExitAnswer::undefined_opcode},
    {12, "HLT", ExitAnswer::control_off},
    {13, "INVD", ExitAnswer::handled},
    {14, "INVLPG", ExitAnswer::control_off},
    {15, "RDPMC", ExitAnswer::control_off},
    {16, "RDTSC", ExitAnswer::control_off},
    {17, "RSM", ExitAnswer::control_off}, // only with an SMM-transfer monitor
    {18, "VMCALL", ExitAnswer::handled},
    {19, "VMCLEAR", ExitAnswer::undefined_opcode},
    {20, "VMLAUNCH", ExitAnswer::undefined_opcode},
    {21, "VMPTRLD", ExitAnswer::undefined_opcode},
    {22, "VMPTRST", ExitAnswer::undefined_opcode},
    {23, "VMREAD", ExitAnswer::undefined_opcode},
    {24, "VMRESUME", ExitAnswer::undefined_opcode},
    {25, "VMWRITE", ExitAnswer::undefined_opcode},
    {26, "VMXOFF", ExitAnswer::undefined_opcode},
    {27, "VMXON", ExitAnswer::undefined_opcode},
    {28, "control-register access", ExitAnswer::handled},
    {29, "MOV DR", ExitAnswer::control_off},
    {30, "I/O instruction", ExitAnswer::handled}, // of the port that puts the machine to sleep
    {31, "RDMSR", ExitAnswer::handled},
    {32, "WRMSR", ExitAnswer::handled}, // and WRMSRNS
    {33, "VM-entry failure: invalid guest state", ExitAnswer::crash},
    {34, "VM-entry failure: MSR loading", ExitAnswer::crash},
    {36, "MWAIT", ExitAnswer::control_off},
    {37, "monitor trap flag", ExitAnswer::handled},
    {39, "MONITOR", ExitAnswer::control_off},
    {40, "PAUSE", ExitAnswer::control_off},
    {41, "VM-entry failure: machine check", ExitAnswer::handled},
    {43, "TPR below threshold", ExitAnswer::control_off},
    {44, "APIC access", ExitAnswer::control_off},
    {45, "virtualized EOI", ExitAnswer::control_off},
    {46, "access to GDTR or IDTR", ExitAnswer::control_off},
    {47, "access to LDTR or TR", ExitAnswer::control_off},
    {48, "EPT violation", ExitAnswer::handled}, // stores to the local APIC
    {49, "EPT misconfiguration", ExitAnswer::crash},
    {50, "INVEPT", ExitAnswer::undefined_opcode},
    {51, "RDTSCP", ExitAnswer::control_off},
    {52, "VMX-preemption timer expired", ExitAnswer::handled},
    {53, "INVVPID", ExitAnswer::undefined_opcode},
    {54, "WBINVD or WBNOINVD", ExitAnswer::control_off},
    {55, "XSETBV", ExitAnswer::handled},
    {56, "APIC write", ExitAnswer::control_off},
    {57, "RDRAND", ExitAnswer::control_off},
    {58, "INVPCID", ExitAnswer::control_off},
    {59, "VMFUNC", ExitAnswer::undefined_opcode},
    {60, "ENCLS", ExitAnswer::control_off},
    {61, "RDSEED", ExitAnswer::control_off},
    {62, "page-modification log full", ExitAnswer::control_off},
    {63, "XSAVES", ExitAnswer::control_off},
    {64, "XRSTORS", ExitAnswer::control_off},
    {65, "PCONFIG", ExitAnswer::control_off},
    {66, "SPP-related event", ExitAnswer::control_off},
    {67, "UMWAIT", ExitAnswer::control_off},
    {68, "TPAUSE", ExitAnswer::control_off},
    {69, "LOADIWKEY", ExitAnswer::control_off},
    {70, "ENCLV", ExitAnswer::control_off},
    {72, "ENQCMD PASID translation failure", ExitAnswer::control_off},
    {73, "ENQCMDS PASID translation failure", ExitAnswer::control_off},
    {74, "bus lock", ExitAnswer::control_off},
    {75, "instruction timeout", ExitAnswer::control_off},
    {76, "SEAMCALL", ExitAnswer::undefined_opcode},
    {77, "TDCALL", ExitAnswer::undefined_opcode},
    {78, "RDMSRLIST", ExitAnswer::control_off}, // without the control it is #UD
    {79, "WRMSRLIST", ExitAnswer::control_off},
    {80, "URDMSR", ExitAnswer::control_off},
    {81, "UWRMSR", ExitAnswer::control_off},
    {84, "RDMSR with an immediate", ExitAnswer::handled},
    {85, "WRMSRNS with an immediate", ExitAnswer::handled},
};
// clang-format on

// The row of an exit reason, by its bits 15:0; nullptr if the manual has none.
const ExitReasonRow* find_exit_reason(u64 reason);

// The manual's name of an exit reason; "?" if it has none.
const char* exit_name(u64 reason);

} // namespace zpp::vmx
