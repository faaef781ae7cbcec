#include "vmx/msr.hpp"
#include "core/host_paging.hpp"
#include "core/vcpu.hpp"
#include "emulate/microcode.hpp"
#include "vmx/microcode.hpp"
#include "vmx/vmcs.hpp"
#include "x86/instructions.hpp"
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

const char* fault_of_update(const u8* update, u64 bytes)
{
    const u64 platform = x86::rdmsr_or_zero(Msr::ia32_platform_id) >> 50 & 7;
    return microcode_fault(update, bytes, x86::cpuid(1).eax, static_cast<unsigned>(platform));
}

Outcome write_bios_updt_trig(Msr index, u64 value)
{
    const MicrocodeFormat format{index, sizeof(MicrocodeHeader), linear_window_pages * page_size,
                                 fault_of_update};
    const GuestPaging paging{
        x86::Cr0{vmcs::read(FieldNatural::guest_cr0)}, vmcs::read(FieldNatural::guest_cr3),
        x86::Cr4{vmcs::read(FieldNatural::guest_cr4)}, x86::Efer{vmcs::read(Field64::guest_efer)}};
    return load_microcode(format, current_vcpu(), paging, {value}, x86::safe_wrmsr);
}

// The registers of protected memory ranges and of memory encryption are as if the firmware had locked them.
constexpr MsrHandler handlers[] = {
    {Msr::ia32_feature_control, Msr::ia32_feature_control, read_feature_control, refuse_wrmsr},
    {Msr::ia32_bios_updt_trig, Msr::ia32_bios_updt_trig, nullptr, write_bios_updt_trig},
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
