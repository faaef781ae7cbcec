// The guest's register values that VMRUN refuses (AMD APM Vol. 2, 15.5.1). A CPU answers the
// instruction that would set one with #GP, so a guest cannot have them; QEMU's TCG, and perhaps
// another hypervisor below, takes some of them and stops at VMRUN only.
#pragma once
#include "svm/vmcb.hpp"

namespace zpp::svm {

// Clears the offending bits. Returns whether there were any: VMRUN can then be tried again.
[[nodiscard]] bool make_consistent(Vmcb& vmcb, x86::Efer efer_allowed);

} // namespace zpp::svm
