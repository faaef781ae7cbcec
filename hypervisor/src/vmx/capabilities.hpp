// The capabilities of this CPU's VMX (SDM Vol. 3D, App. A) and the controls that zpp uses. Pure
// logic: MSRs are read through a function.
#pragma once
#include "core/requirements.hpp"
#include "emulate/features.hpp"
#include "vmx/controls.hpp"
#include "x86/instructions.hpp"
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
    bool io_bitmaps;
    bool ept_1g_pages;
    bool ept_5_levels;
    Support support; // what the controls do for features of the guest

    using ReadMsr = u64 (*)(x86::Msr msr);

    // Of a CPU that meets the requirements (ZPP_FOR_VTX).
    void read(ReadMsr read_msr);
};

// The bits of the capability MSRs that Capabilities are derived from: every CPU must have the same,
// and those of hybrid CPUs are equal.
class CapabilityMsrs {
public:
    CapabilityMsrs() = default;
    explicit CapabilityMsrs(Capabilities::ReadMsr read_msr);

    bool operator==(const CapabilityMsrs&) const = default;

private:
    u64 bits_[ZPP_COMPARED_MSR_COUNT] = {};
};

// Whether a CPU meets the requirements and has the capabilities of the first one.
Result check_cpu(const CapabilityMsrs& first, const CpuReader& cpu = this_cpu);

// The bits of IA32_PERF_GLOBAL_CTRL, by leaf 0AH of CPUID and IA32_PERF_CAPABILITIES.
constexpr u64 perf_global_ctrl_bits(const x86::CpuidResult& leaf, u64 perf_capabilities)
{
    constexpr u64 perf_metrics_available = bit(15), perf_metrics = bit(48);
    const unsigned general = leaf.eax >> 8 & 0xff, fixed = leaf.edx & 0x1f;
    u64 bits = (general < 32 ? bit(general) : u64{0}) - 1;
    bits = (bits & 0xffffffff) | ((bit(fixed) - 1) | (leaf.ecx & 0xffff)) << 32;
    return (perf_capabilities & perf_metrics_available) != 0 ? bits | perf_metrics : bits;
}

} // namespace zpp::vmx
