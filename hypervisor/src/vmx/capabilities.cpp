#include "vmx/capabilities.hpp"
#include "vmx/controls.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {
namespace {

using x86::FeatureControl;
using x86::Msr;

constexpr u64 basic_true_controls = bit(55);
constexpr u64 misc_exit_stores_lma = bit(5);
constexpr u64 ept_4_levels = bit(6);
constexpr u64 ept_5_levels_bit = bit(7);
constexpr u64 ept_write_back = bit(14);
constexpr u64 ept_2m_pages = bit(16);
constexpr u64 ept_1g_pages_bit = bit(17);
constexpr u64 ept_invept_single = bit(20) | bit(25);
constexpr u64 vpid_invvpid_single = bit(32) | bit(41);

template <Register R> struct Required {
    R control;
    const char* name;
};

constexpr Required<PinControls> pin_required[] = {
    {PinControls::nmi_exiting, "NMI exiting"},
    {PinControls::virtual_nmis, "virtual NMIs"},
};
constexpr Required<PrimaryControls> primary_required[] = {
    {PrimaryControls::nmi_window_exiting, "NMI-window exiting"},
    {PrimaryControls::use_msr_bitmaps, "MSR bitmaps"},
    {PrimaryControls::activate_secondary_controls, "secondary controls"},
};
constexpr Required<SecondaryControls> secondary_required[] = {
    {SecondaryControls::enable_ept, "EPT"},
    {SecondaryControls::unrestricted_guest, "unrestricted guest"},
};
constexpr Required<ExitControls> exit_required[] = {
    {ExitControls::save_debug_controls, "save debug controls"},
    {ExitControls::host_address_space_size, "64-bit host"},
    {ExitControls::save_pat, "save IA32_PAT"},
    {ExitControls::load_pat, "load IA32_PAT"},
    {ExitControls::save_efer, "save IA32_EFER"},
    {ExitControls::load_efer, "load IA32_EFER"},
};
constexpr Required<EntryControls> entry_required[] = {
    {EntryControls::load_debug_controls, "load debug controls"},
    {EntryControls::ia32e_mode_guest, "IA-32e mode guest"},
    {EntryControls::load_pat, "load IA32_PAT"},
    {EntryControls::load_efer, "load IA32_EFER"},
};

// Enabled if the CPU has them: without them the guest would get #UD for instructions of the bare
// CPU.
constexpr SecondaryControls secondary_optional =
    SecondaryControls::enable_rdtscp | SecondaryControls::enable_vpid |
    SecondaryControls::enable_invpcid | SecondaryControls::enable_xsaves |
    SecondaryControls::enable_user_wait | SecondaryControls::enable_pconfig;

// A capability MSR: bits that must be 1 in its lower half, bits that may be 1 in its upper half.
template <Register R> class Controls {
public:
    explicit Controls(u64 capability)
        : must_be_1_{static_cast<u32>(capability)}, may_be_1_{static_cast<u32>(capability >> 32)}
    {
    }

    template <std::size_t count> Result require(const Required<R> (&list)[count], R& value) const
    {
        value = must_be_1_;
        for (const Required<R>& required : list) {
            if (!has(may_be_1_, required.control))
                return {ZPP_MISSING_FEATURE, required.name};
            value |= required.control;
        }
        return {};
    }

    R allowed() const { return may_be_1_; }

private:
    R must_be_1_, may_be_1_;
};

Result check_ept(u64 ept_vpid)
{
    if ((ept_vpid & ept_4_levels) == 0 || (ept_vpid & ept_write_back) == 0)
        return {ZPP_MISSING_FEATURE, "EPT with four levels and write-back tables"};
    if ((ept_vpid & ept_2m_pages) == 0)
        return {ZPP_MISSING_FEATURE, "EPT 2 MiB pages"};
    if ((ept_vpid & ept_invept_single) != ept_invept_single)
        return {ZPP_MISSING_FEATURE, "INVEPT"};
    return {};
}

} // namespace

Result Capabilities::read(ReadMsr read_msr)
{
    const FeatureControl feature_control{read_msr(Msr::ia32_feature_control)};
    if (has(feature_control, FeatureControl::lock) &&
        !has(feature_control, FeatureControl::vmx_outside_smx))
        return {ZPP_LOCKED_BY_FIRMWARE};

    const u64 basic = read_msr(Msr::ia32_vmx_basic);
    revision = basic & 0x7fffffff;
    if ((basic & basic_true_controls) == 0)
        return {ZPP_MISSING_FEATURE, "IA32_VMX_TRUE controls"};
    if ((read_msr(Msr::ia32_vmx_misc) & misc_exit_stores_lma) == 0)
        return {ZPP_MISSING_FEATURE, "VM exits that store EFER.LMA"};

    const Controls<PrimaryControls> primary_controls(read_msr(Msr::ia32_vmx_true_procbased_ctls));
    const Controls<PinControls> pin_controls(read_msr(Msr::ia32_vmx_true_pinbased_ctls));
    preemption_timer = has(pin_controls.allowed(), PinControls::activate_preemption_timer);
    Result result = pin_controls.require(pin_required, pin);
    if (result.ok())
        result = primary_controls.require(primary_required, primary);
    if (!result.ok())
        return result;
    monitor_trap_flag = has(primary_controls.allowed(), PrimaryControls::monitor_trap_flag);
    const Controls<SecondaryControls> secondary_controls(
        read_msr(Msr::ia32_vmx_procbased_ctls2)); // exists only with the control
    result = secondary_controls.require(secondary_required, secondary);
    if (result.ok())
        result = Controls<ExitControls>(read_msr(Msr::ia32_vmx_true_exit_ctls))
                     .require(exit_required, exit);
    if (result.ok())
        result = Controls<EntryControls>(read_msr(Msr::ia32_vmx_true_entry_ctls))
                     .require(entry_required, entry);
    if (!result.ok())
        return result;
    primary &= ~PrimaryControls::nmi_window_exiting; // only while an NMI is pending
    entry &= ~EntryControls::ia32e_mode_guest;       // only while the guest is in IA-32e mode
    secondary |= secondary_controls.allowed() & secondary_optional;

    const u64 ept_vpid = read_msr(Msr::ia32_vmx_ept_vpid_cap);
    if ((ept_vpid & vpid_invvpid_single) != vpid_invvpid_single)
        secondary &= ~SecondaryControls::enable_vpid;
    vpid = has(secondary, SecondaryControls::enable_vpid);
    ept_1g_pages = (ept_vpid & ept_1g_pages_bit) != 0;
    ept_5_levels = (ept_vpid & ept_5_levels_bit) != 0;
    cr0_fixed0 = x86::Cr0{read_msr(Msr::ia32_vmx_cr0_fixed0)};
    cr0_fixed1 = x86::Cr0{read_msr(Msr::ia32_vmx_cr0_fixed1)};
    cr4_fixed0 = x86::Cr4{read_msr(Msr::ia32_vmx_cr4_fixed0)};
    cr4_fixed1 = x86::Cr4{read_msr(Msr::ia32_vmx_cr4_fixed1)};
    return check_ept(ept_vpid);
}

} // namespace zpp::vmx
