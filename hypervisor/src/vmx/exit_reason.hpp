// Basic exit reasons (SDM Vol. 3D, App. C).
#pragma once
#include "lib/types.hpp"

namespace zpp::vmx {

// Those that zpp handles.
enum class ExitReason : u32 {
    exception_or_nmi = 0,
    triple_fault = 2,
    init = 3,
    nmi_window = 8,
    cpuid = 10,
    getsec = 11,
    invd = 13,
    vmcall = 18,
    vmclear = 19,
    vmlaunch = 20,
    vmptrld = 21,
    vmptrst = 22,
    vmread = 23,
    vmresume = 24,
    vmwrite = 25,
    vmxoff = 26,
    vmxon = 27,
    control_register = 28,
    rdmsr = 31,
    wrmsr = 32,
    entry_failed_guest_state = 33,
    entry_failed_msr_loading = 34,
    entry_failed_machine_check = 41,
    ept_violation = 48,
    ept_misconfiguration = 49,
    invept = 50,
    preemption_timer = 52,
    invvpid = 53,
    xsetbv = 55,
    vmfunc = 59,
};

// The manual's name of an exit reason, by its bits 15:0; "?" if it has none.
const char* exit_name(u64 reason);

} // namespace zpp::vmx
