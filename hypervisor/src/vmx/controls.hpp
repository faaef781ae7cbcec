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

// Segment access rights (25.4.1).
constexpr u32 rights_l = 1u << 13;
constexpr u32 rights_d = 1u << 14;

} // namespace zpp::vmx
