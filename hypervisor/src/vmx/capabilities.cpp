#include "vmx/capabilities.hpp"
#include "vmx/controls.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {
namespace {

namespace msr = x86::msr;

constexpr u32 vmx_basic = 0x480;
constexpr u32 vmx_misc = 0x485;
constexpr u32 vmx_cr0_fixed0 = 0x486;
constexpr u32 vmx_cr0_fixed1 = 0x487;
constexpr u32 vmx_cr4_fixed0 = 0x488;
constexpr u32 vmx_cr4_fixed1 = 0x489;
constexpr u32 vmx_secondary = 0x48b;
constexpr u32 vmx_ept_vpid = 0x48c;
constexpr u32 vmx_true_pin = 0x48d;
constexpr u32 vmx_true_primary = 0x48e;
constexpr u32 vmx_true_exit = 0x48f;
constexpr u32 vmx_true_entry = 0x490;

constexpr u64 basic_true_controls = bit(55);
constexpr u64 misc_exit_stores_lma = bit(5);
constexpr u64 misc_wait_for_sipi = bit(8);
constexpr u64 ept_4_levels = bit(6);
constexpr u64 ept_5_levels_bit = bit(7);
constexpr u64 ept_write_back = bit(14);
constexpr u64 ept_2m_pages = bit(16);
constexpr u64 ept_1g_pages_bit = bit(17);
constexpr u64 ept_invept_single = bit(20) | bit(25);
constexpr u64 vpid_invvpid_single = bit(32) | bit(41);

struct Required {
    u32 control;
    const char* name;
};

constexpr Required pin_required[] = {{pin_nmi_exiting, "NMI exiting"},
                                     {pin_virtual_nmis, "virtual NMIs"}};
constexpr Required primary_required[] = {{primary_nmi_window, "NMI-window exiting"},
                                         {primary_msr_bitmaps, "MSR bitmaps"},
                                         {primary_secondary_controls, "secondary controls"}};
constexpr Required secondary_required[] = {{secondary_ept, "EPT"},
                                           {secondary_unrestricted_guest, "unrestricted guest"}};
constexpr Required exit_required[] = {{exit_save_debug_controls, "save debug controls"},
                                      {exit_host_64_bit, "64-bit host"},
                                      {exit_save_pat, "save IA32_PAT"},
                                      {exit_load_pat, "load IA32_PAT"},
                                      {exit_save_efer, "save IA32_EFER"},
                                      {exit_load_efer, "load IA32_EFER"}};
constexpr Required entry_required[] = {{entry_load_debug_controls, "load debug controls"},
                                       {entry_ia32e_guest, "IA-32e mode guest"},
                                       {entry_load_pat, "load IA32_PAT"},
                                       {entry_load_efer, "load IA32_EFER"}};

// Switched on wherever the CPU has them: without them the guest would get #UD where the bare CPU
// runs the instruction.
constexpr u32 secondary_optional = secondary_rdtscp | secondary_vpid | secondary_invpcid |
                                   secondary_xsaves | secondary_user_wait | secondary_pconfig;

// A capability MSR: bits that must be 1 in its lower half, bits that may be 1 in its upper half.
class Controls {
public:
    explicit Controls(u64 capability) : capability_(capability) {}

    template <std::size_t count> Result require(const Required (&list)[count], u32& value) const
    {
        value = static_cast<u32>(capability_);
        for (const Required& required : list) {
            if ((allowed() & required.control) == 0)
                return {ZPP_MISSING_FEATURE, required.name};
            value |= required.control;
        }
        return {};
    }

    u32 allowed() const { return static_cast<u32>(capability_ >> 32); }

private:
    u64 capability_;
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
    const u64 feature_control = read_msr(msr::feature_control);
    if ((feature_control & msr::feature_control_lock) != 0 &&
        (feature_control & msr::feature_control_vmx) == 0)
        return {ZPP_LOCKED_BY_FIRMWARE};

    const u64 basic = read_msr(vmx_basic);
    revision = basic & 0x7fffffff;
    if ((basic & basic_true_controls) == 0)
        return {ZPP_MISSING_FEATURE, "IA32_VMX_TRUE controls"};
    const u64 misc = read_msr(vmx_misc);
    if ((misc & misc_exit_stores_lma) == 0)
        return {ZPP_MISSING_FEATURE, "VM exits that store EFER.LMA"};
    if ((misc & misc_wait_for_sipi) == 0)
        return {ZPP_MISSING_FEATURE, "the activity state wait-for-SIPI"};

    Result result = Controls(read_msr(vmx_true_pin)).require(pin_required, pin);
    if (result.ok())
        result = Controls(read_msr(vmx_true_primary)).require(primary_required, primary);
    if (!result.ok())
        return result;
    const Controls secondary_controls(read_msr(vmx_secondary)); // there only with the control
    result = secondary_controls.require(secondary_required, secondary);
    if (result.ok())
        result = Controls(read_msr(vmx_true_exit)).require(exit_required, exit);
    if (result.ok())
        result = Controls(read_msr(vmx_true_entry)).require(entry_required, entry);
    if (!result.ok())
        return result;
    primary &= ~primary_nmi_window; // only while an NMI waits
    entry &= ~entry_ia32e_guest;    // only while the guest is in IA-32e mode
    secondary |= secondary_controls.allowed() & secondary_optional;

    const u64 ept_vpid = read_msr(vmx_ept_vpid);
    if ((ept_vpid & vpid_invvpid_single) != vpid_invvpid_single)
        secondary &= ~secondary_vpid;
    vpid = (secondary & secondary_vpid) != 0;
    ept_1g_pages = (ept_vpid & ept_1g_pages_bit) != 0;
    ept_5_levels = (ept_vpid & ept_5_levels_bit) != 0;
    cr0_fixed0 = read_msr(vmx_cr0_fixed0);
    cr0_fixed1 = read_msr(vmx_cr0_fixed1);
    cr4_fixed0 = read_msr(vmx_cr4_fixed0);
    cr4_fixed1 = read_msr(vmx_cr4_fixed1);
    return check_ept(ept_vpid);
}

} // namespace zpp::vmx
