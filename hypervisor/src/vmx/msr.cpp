#include "vmx/msr.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::vmx {
namespace {

using x86::FeatureControl;
using x86::Msr;

// As on a machine whose firmware has disabled VT-x.
Outcome read_feature_control(Msr index, u64& value)
{
    if (!x86::safe_rdmsr(index, value))
        return Outcome::general_protection;
    constexpr FeatureControl hidden =
        FeatureControl::vmx_outside_smx | FeatureControl::vmx_inside_smx | FeatureControl::senter;
    value = raw((FeatureControl{value} & ~hidden) | FeatureControl::lock);
    return Outcome::advance;
}

// Microcode updates are ignored: they are not safe under a running host. The registers of protected
// memory ranges and of memory encryption are as if the firmware had locked them.
constexpr MsrHandler handlers[] = {
    {Msr::ia32_feature_control, Msr::ia32_feature_control, read_feature_control, refuse_wrmsr},
    {Msr::ia32_bios_updt_trig, Msr::ia32_bios_updt_trig, nullptr, ignore_wrmsr},
    {Msr::prmrr_phys_base, Msr::prmrr_phys_mask, nullptr, refuse_wrmsr},
    {Msr::prmrr_valid_config, Msr::prmrr_valid_config, nullptr, refuse_wrmsr},
    {Msr::prmrr_base_0, Msr::prmrr_base_0, nullptr, refuse_wrmsr},
    {Msr::uncore_prmrr_phys_base, Msr::uncore_prmrr_phys_mask, nullptr, refuse_wrmsr},
    {Msr::ia32_tme_activate, Msr::ia32_tme_exclude_base, nullptr, refuse_wrmsr},
    {Msr::ia32_seamrr_phys_base, Msr::ia32_seamrr_phys_mask, nullptr, refuse_wrmsr},
    {Msr::ia32_smm_monitor_ctl, Msr::ia32_smm_monitor_ctl, refuse_rdmsr, refuse_wrmsr},
    {Msr::ia32_vmx_basic, Msr::ia32_vmx_exit_ctls2, refuse_rdmsr, refuse_wrmsr},
};

} // namespace

constinit const MsrHandlers msr_handlers = handlers;

} // namespace zpp::vmx
