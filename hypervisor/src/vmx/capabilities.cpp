#include "vmx/capabilities.hpp"
#include "vmx/controls.hpp"
#include "vmx/feature_controls.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {
namespace {

using x86::Msr;

constexpr u64 misc_pt_in_vmx = bit(14);
constexpr u64 ept_5_levels_bit = bit(7);
constexpr u64 ept_1g_pages_bit = bit(17);
constexpr u64 vpid_invvpid_single = bit(32) | bit(41);

// The controls that the table of requirements names.
template <Register R> constexpr R required(Msr capability)
{
    u64 bits = 0;
    for (const zpp_requirement& row : zpp_requirements)
        if (row.group == ZPP_FOR_VTX && row.rule == ZPP_ALL_1 &&
            row.index == static_cast<u32>(capability))
            bits |= row.mask;
    return R{static_cast<std::underlying_type_t<R>>(bits >> 32)};
}

// A capability MSR: bits that must be 1 in its lower half, bits that may be 1 in its upper half.
template <Register R> class Controls {
public:
    explicit Controls(u64 capability)
        : must_be_1_{static_cast<u32>(capability)}, may_be_1_{static_cast<u32>(capability >> 32)}
    {
    }

    R must_be_1() const { return must_be_1_; }
    bool allows(R control) const { return has(may_be_1_, control); }
    R allowed(R controls) const { return may_be_1_ & controls; }

private:
    R must_be_1_, may_be_1_;
};

// Intel PT is contained if it can be on in VMX operation at all, is off in the host, and writes to
// guest-physical addresses (SDM Vol. 3C, 26.5.4 and 33.5).
bool contains_pt(u64 misc, const Controls<SecondaryControls>& secondary,
                 const Controls<ExitControls>& exit, const Controls<EntryControls>& entry)
{
    return (misc & misc_pt_in_vmx) != 0 &&
           secondary.allows(SecondaryControls::pt_uses_guest_physical_addresses) &&
           exit.allows(ExitControls::clear_rtit_ctl) && entry.allows(EntryControls::load_rtit_ctl);
}

// The bits of a capability MSR that the CPUs are compared by.
constexpr u64 compared(Msr capability)
{
    for (const zpp_compared_msr& row : zpp_compared_msrs)
        if (row.index == static_cast<u32>(capability))
            return row.mask;
    return 0;
}

template <Register R> constexpr bool are_compared(Msr capability, R optional)
{
    const u64 bits = u64{raw(optional)} << 32 | 0xffffffff;
    return (compared(capability) & bits) == bits;
}

constexpr bool tables_are_compared()
{
    bool all =
        are_compared(Msr::ia32_vmx_true_pinbased_ctls, PinControls::activate_preemption_timer) &&
        are_compared(Msr::ia32_vmx_true_procbased_ctls,
                     PrimaryControls::monitor_trap_flag | PrimaryControls::use_io_bitmaps) &&
        are_compared(Msr::ia32_vmx_procbased_ctls2,
                     SecondaryControls::enable_vpid | SecondaryControls::conceal_vmx_from_pt |
                         SecondaryControls::pt_uses_guest_physical_addresses) &&
        are_compared(Msr::ia32_vmx_true_exit_ctls,
                     ExitControls::save_perf_global_ctrl | ExitControls::conceal_vmx_from_pt) &&
        are_compared(Msr::ia32_vmx_true_entry_ctls, EntryControls::conceal_vmx_from_pt);
    for (const EnableControl& row : enable_controls)
        all &= are_compared(Msr::ia32_vmx_procbased_ctls2, row.control);
    for (const SwitchedMsr& row : switched_msrs)
        all &= are_compared(Msr::ia32_vmx_true_exit_ctls, row.exit) &&
               are_compared(Msr::ia32_vmx_true_entry_ctls, row.entry);
    return all;
}
static_assert(tables_are_compared());
static_assert(compared(Msr::ia32_vmx_misc) == misc_pt_in_vmx);
static_assert(compared(Msr::ia32_vmx_ept_vpid_cap) ==
              (vpid_invvpid_single | ept_1g_pages_bit | ept_5_levels_bit));

} // namespace

void Capabilities::read(ReadMsr read_msr)
{
    revision = read_msr(Msr::ia32_vmx_basic) & 0x7fffffff;
    const u64 misc = read_msr(Msr::ia32_vmx_misc);
    const Controls<PinControls> pin_controls(read_msr(Msr::ia32_vmx_true_pinbased_ctls));
    const Controls<PrimaryControls> primary_controls(read_msr(Msr::ia32_vmx_true_procbased_ctls));
    const Controls<SecondaryControls> secondary_controls(read_msr(Msr::ia32_vmx_procbased_ctls2));
    const Controls<ExitControls> exit_controls(read_msr(Msr::ia32_vmx_true_exit_ctls));
    const Controls<EntryControls> entry_controls(read_msr(Msr::ia32_vmx_true_entry_ctls));
    pin = pin_controls.must_be_1() | required<PinControls>(Msr::ia32_vmx_true_pinbased_ctls);
    primary =
        primary_controls.must_be_1() | required<PrimaryControls>(Msr::ia32_vmx_true_procbased_ctls);
    secondary =
        secondary_controls.must_be_1() | required<SecondaryControls>(Msr::ia32_vmx_procbased_ctls2);
    exit = exit_controls.must_be_1() | required<ExitControls>(Msr::ia32_vmx_true_exit_ctls);
    entry = entry_controls.must_be_1() | required<EntryControls>(Msr::ia32_vmx_true_entry_ctls);
    preemption_timer = pin_controls.allows(PinControls::activate_preemption_timer);
    monitor_trap_flag = primary_controls.allows(PrimaryControls::monitor_trap_flag);
    io_bitmaps = primary_controls.allows(PrimaryControls::use_io_bitmaps);
    primary &= ~PrimaryControls::nmi_window_exiting; // only while an NMI is pending
    entry &= ~EntryControls::ia32e_mode_guest;       // only while the guest is in IA-32e mode

    support = {};
    secondary |= secondary_controls.allowed(SecondaryControls::enable_vpid);
    for (const EnableControl& row : enable_controls) {
        if (!secondary_controls.allows(row.control))
            continue;
        secondary |= row.control;
        support |= row.support;
    }
    for (const SwitchedMsr& row : switched_msrs) {
        if (!exit_controls.allows(row.exit) || !entry_controls.allows(row.entry))
            continue;
        if (row.support == Support::processor_trace &&
            !contains_pt(misc, secondary_controls, exit_controls, entry_controls))
            continue;
        exit |= row.exit;
        entry |= row.entry;
        support |= row.support;
    }
    if (has(support, Support::perf_global_ctrl))
        exit |= exit_controls.allowed(ExitControls::save_perf_global_ctrl);
    if (has(support, Support::processor_trace)) {
        secondary |= SecondaryControls::pt_uses_guest_physical_addresses |
                     secondary_controls.allowed(SecondaryControls::conceal_vmx_from_pt);
        exit |= exit_controls.allowed(ExitControls::conceal_vmx_from_pt);
        entry |= entry_controls.allowed(EntryControls::conceal_vmx_from_pt);
    }

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
}

CapabilityMsrs::CapabilityMsrs(Capabilities::ReadMsr read_msr)
{
    for (std::size_t i = 0; i < ZPP_COMPARED_MSR_COUNT; ++i)
        bits_[i] = read_msr(Msr{zpp_compared_msrs[i].index}) & zpp_compared_msrs[i].mask;
}

Result check_cpu(const CapabilityMsrs& first, const CpuReader& cpu)
{
    const Result result = check(ZPP_FOR_VTX, cpu);
    if (result.ok() && CapabilityMsrs{cpu.msr} != first)
        return {ZPP_MISSING_FEATURE, ZPP_SAME_VMX};
    return result;
}

} // namespace zpp::vmx
