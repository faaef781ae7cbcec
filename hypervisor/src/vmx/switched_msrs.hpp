// MSRs by which the CPU records or counts: VM exits switch them off for the host, VM entries load
// the guest's values again (SDM Vol. 3C, 25.7 and 25.8). A CPU without both controls does not
// support the feature under zpp.
#pragma once
#include "emulate/features.hpp"
#include "vmx/controls.hpp"
#include "vmx/vmcs.hpp"

namespace zpp::vmx {

struct SwitchedMsr {
    Support support;
    ExitControls exit;
    EntryControls entry;
    Field64 guest;
    x86::Msr msr;
};

inline constexpr SwitchedMsr switched_msrs[] = {
    {Support::perf_global_ctrl, ExitControls::load_perf_global_ctrl,
     EntryControls::load_perf_global_ctrl, Field64::guest_perf_global_ctrl,
     x86::Msr::ia32_perf_global_ctrl},
    {Support::bndcfgs, ExitControls::clear_bndcfgs, EntryControls::load_bndcfgs,
     Field64::guest_bndcfgs, x86::Msr::ia32_bndcfgs},
    {Support::processor_trace, ExitControls::clear_rtit_ctl, EntryControls::load_rtit_ctl,
     Field64::guest_rtit_ctl, x86::Msr::ia32_rtit_ctl},
    {Support::arch_lbr, ExitControls::clear_lbr_ctl, EntryControls::load_lbr_ctl,
     Field64::guest_lbr_ctl, x86::Msr::ia32_lbr_ctl},
};
inline constexpr std::size_t switched_msr_count = sizeof switched_msrs / sizeof switched_msrs[0];

// The OS's values of these MSRs. While it exists, they are 0 on this CPU.
class SwitchedMsrs {
public:
    // Switches off what the CPU has of them.
    SwitchedMsrs();
    void write_to_vmcs() const;
    void restore() const; // if the launch fails

    // Gives the guest's values back to the CPU.
    static void restore_from_vmcs();

private:
    u64 values_[switched_msr_count];
};

} // namespace zpp::vmx
