// MOV to CR0 on a CPU that accepts CR0.NW without CD and raises no #GP, as QEMU's TCG does. VMRUN
// refuses that value (AMD APM Vol. 2, 15.5.1), so the core checks it first.
#pragma once
#include "emulate/vm_exit.hpp"
#include "svm/guest.hpp"

namespace zpp::svm {

// Tests this CPU, and restores CR0.
bool cpu_checks_cr0();

// At each exit on such a CPU: intercepts changes of CR0 bits other than TS and MP.
void watch_cr0(Vmcb& vmcb);

// Handles the exit: emulates MOV to CR0, and lets LMSW run, which cannot change NW.
[[nodiscard]] Outcome on_cr0_write(Guest& guest, VmExit& exit);

} // namespace zpp::svm
