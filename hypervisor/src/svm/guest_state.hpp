// Writes the guest's state into the VMCB, and back to the CPU.
#pragma once
#include "svm/vcpu_state.hpp"

namespace zpp::svm {

// At the launch: the guest continues where the OS called the loader's trampoline. Leaves what
// VMSAVE stores (FS, GS, TR, LDTR and the system call MSRs).
void write_guest_state(Vmcb& vmcb, const zpp_cpu_state& os);

// The state after INIT (AMD APM Vol. 2, 14.1.3), with general registers, at the reset vector.
void write_init_state(Vmcb& vmcb, GuestRegisters& registers);

// The state after a SIPI: real mode at vector * 4096.
void write_sipi_state(Vmcb& vmcb, u8 vector);

// Loads the OS's values into the CPU again; `os` gets those that the loader's trampoline restores.
void restore_to_cpu(const Vmcb& vmcb, Hpa vmcb_address, zpp_cpu_state& os);

// Logs the VMCB of this CPU, for a crash report.
void dump();

} // namespace zpp::svm
