// Bits of the VM-execution, VM-exit and VM-entry controls (SDM Vol. 3C, 25.6 to 25.8), and of the
// guest's non-register state (25.4.2).
#pragma once
#include "lib/bits.hpp"

namespace zpp {
namespace vmx {

enum class PinControls : u32 {
    nmi_exiting = bit(3),
    virtual_nmis = bit(5),
    activate_preemption_timer = bit(6),
};

enum class PrimaryControls : u32 {
    nmi_window_exiting = bit(22),
    use_io_bitmaps = bit(25),
    monitor_trap_flag = bit(27),
    use_msr_bitmaps = bit(28),
    activate_secondary_controls = bit(31),
};

enum class SecondaryControls : u32 {
    enable_ept = bit(1),
    enable_rdtscp = bit(3),
    enable_vpid = bit(5),
    unrestricted_guest = bit(7),
    enable_invpcid = bit(12),
    conceal_vmx_from_pt = bit(19),
    enable_xsaves = bit(20),
    pt_uses_guest_physical_addresses = bit(24),
    enable_user_wait = bit(26),
    enable_pconfig = bit(27),
};

enum class ExitControls : u32 {
    save_debug_controls = bit(2),
    host_address_space_size = bit(9),
    load_perf_global_ctrl = bit(12),
    save_pat = bit(18),
    load_pat = bit(19),
    save_efer = bit(20),
    load_efer = bit(21),
    clear_bndcfgs = bit(23),
    conceal_vmx_from_pt = bit(24),
    clear_rtit_ctl = bit(25),
    clear_lbr_ctl = bit(26),
    save_perf_global_ctrl = bit(30),
};

enum class EntryControls : u32 {
    load_debug_controls = bit(2),
    ia32e_mode_guest = bit(9),
    load_perf_global_ctrl = bit(13),
    load_pat = bit(14),
    load_efer = bit(15),
    load_bndcfgs = bit(16),
    conceal_vmx_from_pt = bit(17),
    load_rtit_ctl = bit(18),
    load_lbr_ctl = bit(21),
};

enum class Interruptibility : u32 {
    blocking_by_sti = bit(0),
    blocking_by_mov_ss = bit(1),
    blocking_by_smi = bit(2),
    blocking_by_nmi = bit(3),
};

enum class PendingDebug : u64 {
    bs = bit(14),
};

// Segment access rights (25.4.1).
enum class AccessRights : u32 {
    type = bits(3, 0),
    s = bit(4), // code or data
    dpl = bits(6, 5),
    p = bit(7),
    l = bit(13),
    db = bit(14),
    g = bit(15),
    unusable = bit(16),
};

enum class ActivityState : u32 {
    active = 0,
    halt = 1,
    shutdown = 2,
    wait_for_sipi = 3,
};

} // namespace vmx

template <OneOf<vmx::PinControls, vmx::PrimaryControls, vmx::SecondaryControls, vmx::ExitControls,
                vmx::EntryControls, vmx::Interruptibility, vmx::PendingDebug, vmx::AccessRights>
              T>
inline constexpr bool is_register<T> = true;

} // namespace zpp
