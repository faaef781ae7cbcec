#include "x86/msr.hpp"
#include "core/virt.hpp"
#include "emulate/emulate.hpp"
#include "guest/memory.hpp"
#include "x86/safe.hpp"

namespace zpp {
namespace {

namespace msr = x86::msr;

struct Policy {
    u32 first, last;
    bool read, write;
    u32 vendors;
};

constexpr u32 intel = ZPP_FEATURE_VTX, amd = ZPP_FEATURE_AMDV;

// Everything else inside the bitmaps goes straight to the CPU.
constexpr Policy policies[] = {
    {msr::feature_control, msr::feature_control, true, true, intel},
    {msr::microcode_update, msr::microcode_update, false, true, intel},
    {msr::smm_monitor_control, msr::smm_monitor_control, true, true, intel},
    {msr::vmx_first, msr::vmx_last, true, true, intel},
    {msr::mtrr_fixed_64k, msr::mtrr_fixed_64k, false, true, intel},
    {msr::mtrr_fixed_16k, msr::mtrr_fixed_16k + 1, false, true, intel},
    {msr::mtrr_fixed_4k, msr::mtrr_fixed_4k + 7, false, true, intel},
    {msr::mtrr_default_type, msr::mtrr_default_type, false, true, intel},
    {msr::apic_base, msr::apic_base, false, true, amd},
    {msr::x2apic_icr, msr::x2apic_icr, false, true, amd},
    {msr::efer, msr::efer, true, true, amd},
    {msr::patch_loader, msr::patch_loader, false, true, amd},
    {msr::vm_cr, msr::vm_cr, true, true, amd},
    {msr::vm_hsave_pa, msr::svm_key, true, true, amd},
};

bool is_hidden(u32 index)
{
    if (vendor().feature == ZPP_FEATURE_AMDV)
        return index == msr::vm_hsave_pa || index == msr::svm_key;
    return index == msr::smm_monitor_control || (index >= msr::vmx_first && index <= msr::vmx_last);
}

// Writes that the guest believes to have made: an update under the host's feet is not safe, VM_CR
// is locked, and a Linux that has seen SVM before clears VM_HSAVE_PA when it goes down.
bool is_swallowed(u32 index, u64 value)
{
    if (vendor().feature == ZPP_FEATURE_AMDV)
        return index == msr::patch_loader || index == msr::vm_cr ||
               (index == msr::vm_hsave_pa && value == 0);
    return index == msr::microcode_update;
}

// A firmware that has virtualization switched off leaves these values.
u64 without_virtualization(u32 index, u64 value)
{
    if (index == msr::feature_control)
        return (value & ~(msr::feature_control_vmx | msr::feature_control_vmx_in_smx |
                          msr::feature_control_senter)) |
               msr::feature_control_lock;
    if (index == msr::vm_cr)
        return (value & ~msr::vm_cr_r_init) | msr::vm_cr_lock | msr::vm_cr_svmdis;
    return value;
}

} // namespace

void for_each_intercepted_msr(void (*intercept)(void*, u32, u32, bool, bool), void* context)
{
    for (const Policy& policy : policies)
        if ((policy.vendors & vendor().feature) != 0)
            intercept(context, policy.first, policy.last, policy.read, policy.write);
    if (const unsigned count = guest_memory::variable_mtrrs(); count != 0)
        intercept(context, msr::mtrr_variable_base, msr::mtrr_variable_base + 2 * count - 1, false,
                  true);
}

Outcome emulate_rdmsr(GuestRegisters& registers)
{
    const auto index = static_cast<u32>(registers.rcx);
    u64 value = 0;
    if (is_hidden(index) || !x86::safe_rdmsr(index, value))
        return Outcome::general_protection;
    value = without_virtualization(index, value);
    registers.rax = static_cast<u32>(value);
    registers.rdx = value >> 32;
    return Outcome::advance;
}

Outcome emulate_wrmsr(const GuestRegisters& registers)
{
    const auto index = static_cast<u32>(registers.rcx);
    const u64 value = static_cast<u32>(registers.rax) | registers.rdx << 32;
    if (is_swallowed(index, value))
        return Outcome::advance;
    if (is_hidden(index) || index == msr::feature_control || !x86::safe_wrmsr(index, value))
        return Outcome::general_protection;
    if (Mtrrs::is_mtrr(index, guest_memory::variable_mtrrs()))
        guest_memory::follow_mtrrs();
    return Outcome::advance;
}

} // namespace zpp
