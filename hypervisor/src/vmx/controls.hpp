// Bits of the VM-execution, VM-exit and VM-entry controls (SDM Vol. 3C, 25.6 to 25.8), and of the
// guest's non-register state (25.4.2).
#pragma once
#include "lib/types.hpp"

namespace zpp::vmx {

constexpr u32 pin_nmi_exiting = 1u << 3;
constexpr u32 pin_virtual_nmis = 1u << 5;

constexpr u32 primary_nmi_window = 1u << 22;
constexpr u32 primary_msr_bitmaps = 1u << 28;
constexpr u32 primary_secondary_controls = 1u << 31;

constexpr u32 secondary_ept = 1u << 1;
constexpr u32 secondary_rdtscp = 1u << 3;
constexpr u32 secondary_vpid = 1u << 5;
constexpr u32 secondary_unrestricted_guest = 1u << 7;
constexpr u32 secondary_invpcid = 1u << 12;
constexpr u32 secondary_xsaves = 1u << 20;
constexpr u32 secondary_user_wait = 1u << 26;
constexpr u32 secondary_pconfig = 1u << 27;

constexpr u32 exit_save_debug_controls = 1u << 2;
constexpr u32 exit_host_64_bit = 1u << 9;
constexpr u32 exit_save_pat = 1u << 18;
constexpr u32 exit_load_pat = 1u << 19;
constexpr u32 exit_save_efer = 1u << 20;
constexpr u32 exit_load_efer = 1u << 21;

constexpr u32 entry_load_debug_controls = 1u << 2;
constexpr u32 entry_ia32e_guest = 1u << 9;
constexpr u32 entry_load_pat = 1u << 14;
constexpr u32 entry_load_efer = 1u << 15;

constexpr u32 activity_active = 0;
constexpr u32 activity_wait_for_sipi = 3;

constexpr u32 blocking_by_sti = 1u << 0;
constexpr u32 blocking_by_mov_ss = 1u << 1;

constexpr u64 pending_debug_bs = bit(14);

// VM-entry interruption information (25.8.3).
constexpr u32 event_valid = 1u << 31;
constexpr u32 event_error_code = 1u << 11;
constexpr u32 event_nmi = 2u << 8;
constexpr u32 event_hardware_exception = 3u << 8;

// Basic exit reasons (SDM Vol. 3D, App. C).
enum class ExitReason : u32 {
    exception_or_nmi = 0,
    triple_fault = 2,
    init = 3,
    sipi = 4,
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
    invvpid = 53,
    xsetbv = 55,
    vmfunc = 59,
};

} // namespace zpp::vmx
