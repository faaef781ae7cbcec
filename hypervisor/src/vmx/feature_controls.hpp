// The optional controls of VMX, and what each does for features of the guest (SDM Vol. 3C, 25.6 to
// 25.8).
#pragma once
#include "emulate/features.hpp"
#include "vmx/controls.hpp"
#include "vmx/vmcs.hpp"

namespace zpp::vmx {

// Without the control the guest gets #UD for the instructions.
struct EnableControl {
    SecondaryControls control;
    Support support;
    const char* name;
};

inline constexpr EnableControl enable_controls[] = {
    {SecondaryControls::enable_rdtscp, Support::rdtscp, "enable RDTSCP"},
    {SecondaryControls::enable_invpcid, Support::invpcid, "enable INVPCID"},
    {SecondaryControls::enable_xsaves, Support::xsaves, "enable XSAVES/XRSTORS"},
    {SecondaryControls::enable_user_wait, Support::user_wait, "enable user wait and pause"},
    {SecondaryControls::enable_pconfig, Support::pconfig, "enable PCONFIG"},
};

// MSRs by which the CPU records or counts: VM exits switch them off for the host, VM entries load
// the guest's values again. With one of the two controls, or none, zpp hides the feature.
struct SwitchedMsr {
    Support support;
    ExitControls exit;
    EntryControls entry;
    Field64 guest;
    x86::Msr msr;
    const char* name; // of both controls
};

inline constexpr SwitchedMsr switched_msrs[] = {
    {Support::perf_global_ctrl, ExitControls::load_perf_global_ctrl,
     EntryControls::load_perf_global_ctrl, Field64::guest_perf_global_ctrl,
     x86::Msr::ia32_perf_global_ctrl, "load IA32_PERF_GLOBAL_CTRL"},
    {Support::bndcfgs, ExitControls::clear_bndcfgs, EntryControls::load_bndcfgs,
     Field64::guest_bndcfgs, x86::Msr::ia32_bndcfgs, "clear and load IA32_BNDCFGS"},
    {Support::processor_trace, ExitControls::clear_rtit_ctl, EntryControls::load_rtit_ctl,
     Field64::guest_rtit_ctl, x86::Msr::ia32_rtit_ctl,
     "Intel PT uses guest physical addresses, clear and load IA32_RTIT_CTL"},
    {Support::arch_lbr, ExitControls::clear_lbr_ctl, EntryControls::load_lbr_ctl,
     Field64::guest_lbr_ctl, x86::Msr::ia32_lbr_ctl, "clear and load guest IA32_LBR_CTL"},
};
inline constexpr std::size_t switched_msr_count = sizeof switched_msrs / sizeof switched_msrs[0];

} // namespace zpp::vmx
