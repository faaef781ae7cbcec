#include "emulate.hpp"
#include "guest_memory.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp {
namespace {

namespace msr = x86::msr;

struct Policy {
    u32 first, last;
    bool read, write;
};

// Everything else inside the bitmaps goes straight to the CPU.
constexpr Policy policies[] = {
    {msr::feature_control, msr::feature_control, true, true},
    {msr::microcode_update, msr::microcode_update, false, true},
    {msr::smm_monitor_control, msr::smm_monitor_control, true, true},
    {msr::vmx_first, msr::vmx_last, true, true},
    {msr::mtrr_fixed_64k, msr::mtrr_fixed_64k, false, true},
    {msr::mtrr_fixed_16k, msr::mtrr_fixed_16k + 1, false, true},
    {msr::mtrr_fixed_4k, msr::mtrr_fixed_4k + 7, false, true},
    {msr::mtrr_default_type, msr::mtrr_default_type, false, true},
};

bool is_hidden(u32 index)
{
    return index == msr::smm_monitor_control || (index >= msr::vmx_first && index <= msr::vmx_last);
}

} // namespace

void for_each_intercepted_msr(void (*intercept)(void*, u32, u32, bool, bool), void* context)
{
    for (const Policy& policy : policies)
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
    if (index == msr::feature_control) // locked, without VMX: as a firmware that has it switched off
        value = (value & ~(msr::feature_control_vmx | msr::feature_control_vmx_in_smx |
                           msr::feature_control_senter)) |
                msr::feature_control_lock;
    registers.rax = static_cast<u32>(value);
    registers.rdx = value >> 32;
    return Outcome::advance;
}

Outcome emulate_wrmsr(const GuestRegisters& registers)
{
    const auto index = static_cast<u32>(registers.rcx);
    const u64 value = static_cast<u32>(registers.rax) | registers.rdx << 32;
    if (index == msr::microcode_update)
        return Outcome::advance; // swallowed: an update under the host's feet is not safe
    if (is_hidden(index) || index == msr::feature_control || !x86::safe_wrmsr(index, value))
        return Outcome::general_protection;
    if (Mtrrs::is_mtrr(index, guest_memory::variable_mtrrs()))
        guest_memory::follow_mtrrs();
    return Outcome::advance;
}

} // namespace zpp
