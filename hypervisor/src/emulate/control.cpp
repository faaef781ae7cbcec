#include "emulate/control.hpp"
#include "emulate/xcr0.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/safe.hpp"

namespace zpp {

bool cr0_is_valid(u64 value)
{
    if (value >> 32 != 0)
        return false;
    if ((value & x86::cr0_pg) != 0 && (value & x86::cr0_pe) == 0)
        return false;
    return (value & x86::cr0_nw) == 0 || (value & x86::cr0_cd) != 0;
}

bool cr4_is_valid(u64 value, u64 hidden) { return (value & hidden) == 0; }

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
