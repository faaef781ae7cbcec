// What XSETBV accepts for XCR0 (SDM Vol. 1, 13.3). Pure logic.
#pragma once
#include "lib/types.hpp"

namespace zpp {

// supported: CPUID.(EAX=0DH,ECX=0):EDX:EAX.
constexpr bool xcr0_is_valid(u64 value, u64 supported)
{
    constexpr u64 x87 = bit(0), sse = bit(1), avx = bit(2);
    constexpr u64 mpx = bit(3) | bit(4);
    constexpr u64 avx512 = bit(5) | bit(6) | bit(7);
    constexpr u64 amx = bit(17) | bit(18);
    const auto all_or_none = [&](u64 bits) {
        return (value & bits) == 0 || (value & bits) == bits;
    };
    return (value & ~supported) == 0 && (value & x87) != 0 &&
           ((value & avx) == 0 || (value & sse) != 0) && all_or_none(mpx) && all_or_none(avx512) &&
           ((value & avx512) == 0 || (value & avx) != 0) && all_or_none(amx);
}

} // namespace zpp
