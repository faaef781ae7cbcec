// The bits of EFER that a guest can set.
#pragma once
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"

namespace zpp::svm {

// By CPUID (AMD APM Vol. 2, 3.1.7), without SVME.
x86::Efer efer_by_cpuid(x86::CpuidResult (*cpuid)(u32 leaf, u32 subleaf));

// Of `wanted`, those that this CPU really has: its WRMSR takes them and RDMSR returns them. An
// emulator can show a feature, or not say that it lacks one, and still call the bit reserved at
// VMRUN, as QEMU's TCG does with LMSLE.
x86::Efer efer_by_trial(x86::Efer wanted, bool (*write)(x86::Efer), x86::Efer (*read)());

} // namespace zpp::svm
