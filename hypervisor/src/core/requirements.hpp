// Checks a CPU against the table of requirements, which the core and the loaders share.
#pragma once
#include "core/result.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "zpp/requirements.h"

namespace zpp {

// How the checks read a CPU. A test has its own.
struct CpuReader {
    u64 (*msr)(x86::Msr msr);
    x86::CpuidResult (*cpuid)(u32 leaf, u32 subleaf);
    x86::Cr4 (*cr4)();
};

inline constexpr CpuReader this_cpu{x86::rdmsr, x86::cpuid, x86::read_cr4};

// Returns the status and the detail of the first requirement of the group that is not met.
Result check(zpp_group group, const CpuReader& cpu = this_cpu);

} // namespace zpp
