#include "vmx/msr.hpp"
#include "apic/icr_trap.hpp"
#include "core/host_paging.hpp"
#include "core/machine.hpp"
#include "core/vcpu.hpp"
#include "emulate/apic.hpp"
#include "emulate/features.hpp"
#include "emulate/microcode.hpp"
#include "vmx/microcode.hpp"
#include "vmx/shared.hpp"
#include "vmx/vcpu_state.hpp"
#include "vmx/vmcs.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::vmx {
namespace {

using x86::FeatureControl;
using x86::Msr;

Outcome write_trapped_icr(Msr index, u64 value)
{
    const Outcome outcome = write_x2apic_icr(index, value);
    icr_trap::after_write(current_vcpu());
    return outcome;
}

Outcome write_misc_features_enables(Msr index, u64 value)
{
    const Outcome outcome = pass_wrmsr(index, value);
    if (outcome == Outcome::advance)
        follow_cpuid_faulting(current_vcpu(), x86::MiscFeaturesEnables{value});
    return outcome;
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

// VM entries load the value from the VMCS. Newer CPUs save it there at each VM exit.
bool must_follow_perf_global_ctrl()
{
    return is_supported(Support::perf_global_ctrl) &&
           !has(shared.capabilities.exit, ExitControls::save_perf_global_ctrl);
}

Outcome read_perf_global_ctrl(Msr, u64& value)
{
    value = vmcs::read(Field64::guest_perf_global_ctrl);
    return Outcome::advance;
}

Outcome write_perf_global_ctrl(Msr, u64 value)
{
    if ((value & ~shared.perf_global_ctrl) != 0)
        return Outcome::general_protection;
    vmcs::write(Field64::guest_perf_global_ctrl, value);
    return Outcome::advance;
}

bool hides_pebs() { return !is_supported(Support::pebs); }

Outcome read_misc_enable(Msr index, u64& value)
{
    constexpr u64 pebs_unavailable = bit(12);
    if (!x86::safe_rdmsr(index, value))
        return Outcome::general_protection;
    value |= pebs_unavailable;
    return Outcome::advance;
}

Outcome read_zero(Msr, u64& value)
{
    value = 0;
    return Outcome::advance;
}

// The CPU writes the table at this physical address, which nested paging does not translate. With
// key bits of memory encryption it would be an alias.
Outcome write_hw_feedback_ptr(Msr index, u64 value)
{
    const u32 pages = (x86::cpuid(6).edx >> 8 & 0xf) + 1;
    const Hpa first{value & bits(51, 12)};
    if (value >> shared.address_bits != 0 || machine.hides(first, pages * page_size))
        return Outcome::general_protection;
    return pass_wrmsr(index, value);
}

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

// The registers of protected memory ranges and of memory encryption are as if the firmware had locked
// them.
constexpr MsrHandler handlers[] = {
    {Msr::ia32_apic_base, Msr::ia32_apic_base, nullptr, write_apic_base},
    {Msr::ia32_x2apic_icr, Msr::ia32_x2apic_icr, nullptr, write_trapped_icr},
    {Msr::ia32_feature_control, Msr::ia32_feature_control, read_feature_control, refuse_wrmsr},
    {Msr::misc_features_enables, Msr::misc_features_enables, nullptr, write_misc_features_enables},
    {Msr::ia32_bios_updt_trig, Msr::ia32_bios_updt_trig, nullptr, write_bios_updt_trig},
    {Msr::prmrr_phys_base, Msr::prmrr_phys_mask, nullptr, refuse_wrmsr},
    {Msr::prmrr_valid_config, Msr::prmrr_valid_config, nullptr, refuse_wrmsr},
    {Msr::prmrr_base_0, Msr::prmrr_base_0, nullptr, refuse_wrmsr},
    {Msr::uncore_prmrr_phys_base, Msr::uncore_prmrr_phys_mask, nullptr, refuse_wrmsr},
    {Msr::ia32_tme_activate, Msr::ia32_tme_exclude_base, nullptr, refuse_wrmsr},
    {Msr::ia32_seamrr_phys_base, Msr::ia32_seamrr_phys_mask, nullptr, refuse_wrmsr},
    {Msr::ia32_misc_enable, Msr::ia32_misc_enable, read_misc_enable, nullptr, hides_pebs},
    {Msr::ia32_perf_global_ctrl, Msr::ia32_perf_global_ctrl, read_perf_global_ctrl,
     write_perf_global_ctrl, must_follow_perf_global_ctrl},
    {Msr::ia32_pebs_enable, Msr::ia32_pebs_enable, read_zero, ignore_wrmsr, hides_pebs},
    {Msr::ia32_hw_feedback_ptr, Msr::ia32_hw_feedback_ptr, nullptr, write_hw_feedback_ptr},
    {Msr::ia32_smm_monitor_ctl, Msr::ia32_smm_monitor_ctl, refuse_rdmsr, refuse_wrmsr},
    {Msr::ia32_vmx_basic, Msr::ia32_vmx_exit_ctls2, refuse_rdmsr, refuse_wrmsr},
};

} // namespace

constinit const MsrHandlers msr_handlers = handlers;

} // namespace zpp::vmx
