#include "emulate/control.hpp"
#include "emulate/xcr0.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/safe.hpp"

namespace zpp {

bool cr0_is_valid(x86::Cr0 value)
{
    if (raw(value) >> 32 != 0)
        return false;
    if (has(value, x86::Cr0::pg) && !has(value, x86::Cr0::pe))
        return false;
    return !has(value, x86::Cr0::nw) || has(value, x86::Cr0::cd);
}

bool cr4_is_valid(x86::Cr4 value, x86::Cr4 hidden) { return !has(value, hidden); }

Outcome emulate_xsetbv(u32 index, u64 value, unsigned cpl)
{
    const x86::CpuidResult leaf = x86::cpuid(0xd);
    const u64 supported = leaf.eax | u64{leaf.edx} << 32;
    if (cpl != 0 || index != 0 || !xcr0_is_valid(value, supported) ||
        !x86::safe_xsetbv(index, value))
        return Outcome::general_protection;
    return Outcome::advance;
}

} // namespace zpp
