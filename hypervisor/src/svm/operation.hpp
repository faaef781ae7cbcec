// What a launch takes over on a CPU for the host, and gives back: EFER.SVME, VM_HSAVE_PA,
// VM_CR.R_INIT, CR4.SMEP, CR4.SMAP and SPEC_CTRL.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::svm {

// Before the first VMRUN, with the VMCB's guest state written.
void enter_svm_operation(Vcpu& vcpu);

// After a failed launch, and when the CPU is devirtualized. Sets GIF.
void leave_svm_operation(Vcpu& vcpu);

} // namespace zpp::svm
