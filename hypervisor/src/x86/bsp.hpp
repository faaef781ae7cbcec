#pragma once
#include "x86/instructions.hpp"
#include "x86/msr.hpp"

namespace zpp::x86 {

// Whether this is the bootstrap processor, which an INIT restarts at the reset vector.
inline bool is_bsp() { return (rdmsr(msr::apic_base) & msr::apic_base_bsp) != 0; }

} // namespace zpp::x86
