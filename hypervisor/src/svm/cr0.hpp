// MOV to CR0 where the CPU takes CR0.NW without CD in place of #GP, as QEMU's TCG does: VMRUN refuses
// that value (AMD APM Vol. 2, 15.5.1), so the core checks it first.
#pragma once
#include "emulate/vm_exit.hpp"
#include "svm/guest.hpp"

namespace zpp::svm {

// Tries it on this CPU, and leaves CR0 as it was.
bool cpu_checks_cr0();

// At each exit on such a CPU: changes of CR0 exit, but for those of TS and MP.
void watch_cr0(Vmcb& vmcb);

// The exit: MOV to CR0, which is emulated, or LMSW, which cannot change NW and runs.
[[nodiscard]] Outcome on_cr0_write(Guest& guest, VmExit& exit);

} // namespace zpp::svm
