// I/O ports, the TSC and CPUID as functions, so that logic that uses them runs on the build machine,
// too.
#pragma once
#include "x86/instructions.hpp"

namespace zpp::x86 {

struct Ports {
    u8 (*in8)(u16 port);
    void (*out8)(u16 port, u8 value);
    u64 (*rdtsc)();
    CpuidResult (*cpuid)(u32 leaf, u32 subleaf);
};

inline constexpr Ports real_ports{in8, out8, rdtsc, cpuid};

} // namespace zpp::x86
