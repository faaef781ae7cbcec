// The capabilities of this CPU's VMX (SDM Vol. 3D, App. A) and the controls that zpp uses. Pure
// logic: MSRs are read through a function.
#pragma once
#include "core/result.hpp"
#include "vmx/controls.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {

struct Capabilities {
    u32 revision; // VMCS revision identifier
    PinControls pin;
    PrimaryControls primary;
    SecondaryControls secondary;
    ExitControls exit;
    EntryControls entry;
    x86::Cr0 cr0_fixed0, cr0_fixed1; // bits that must be 1, bits that may be 1
    x86::Cr4 cr4_fixed0, cr4_fixed1;
    bool preemption_timer;
    bool vpid;
    bool monitor_trap_flag;
    bool ept_1g_pages;
    bool ept_5_levels;

    using ReadMsr = u64 (*)(x86::Msr msr);

    // Returns ZPP_LOCKED_BY_FIRMWARE, or ZPP_MISSING_FEATURE with the control's name.
    Result read(ReadMsr read_msr);

    bool operator==(const Capabilities&) const = default;
};

} // namespace zpp::vmx
