// The MSRs that route physical addresses to DRAM, to MMIO or to system management mode (AMD APM
// Vol. 2, 7.9, 10.2.5 and 15.34). The guest must not route the core's memory elsewhere: a write that would
// raises #GP.
#pragma once
#include "emulate/vm_exit.hpp"
#include "x86/msr.hpp"

namespace zpp::svm::routing {

// SYSCFG: memory encryption is hidden, and TOP_MEM and TOP_MEM2 stay enabled.
Outcome read_syscfg(x86::Msr msr, u64& value);
Outcome write_syscfg(x86::Msr msr, u64 value);

Outcome write_iorr(x86::Msr msr, u64 value);
Outcome write_top_mem(x86::Msr msr, u64 value); // TOP_MEM and TOP_MEM2
Outcome write_mmio_cfg_base(x86::Msr msr, u64 value);

// As with HWCR.SMMLOCK, but for the value that the MSR has.
Outcome write_locked(x86::Msr msr, u64 value);

} // namespace zpp::svm::routing
