// The guest's state in the VMCB: as the OS left the CPU, as INIT and SIPI leave it, and back.
#pragma once
#include "svm/vcpu_state.hpp"

namespace zpp::svm {

// At the launch: the guest goes on exactly where the OS called the loader's trampoline. What
// VMSAVE stores (FS, GS, TR, LDTR and the system call MSRs) is not touched.
void write_guest_state(Vmcb& vmcb, const zpp_cpu_state& os);

// As an INIT leaves a CPU (AMD APM Vol. 2, 14.1.3), general registers included, at the reset
// vector.
void write_init_state(Vmcb& vmcb, GuestRegisters& registers);

// As a SIPI starts a CPU: real mode at vector * 4096.
void write_sipi_state(Vmcb& vmcb, u8 vector);

// On: a physical INIT becomes #SX in the host, on CPUs that can do so (VM_CR.R_INIT). Off: as the
// OS has it.
void redirect_init(bool on);

// What VM exits have loaded with the host's values is given back to the OS, and `os` gets what the
// loader's trampoline restores.
void restore_to_cpu(const Vmcb& vmcb, Hpa vmcb_address, zpp_cpu_state& os);

// For a crash report, of this CPU.
void dump();

} // namespace zpp::svm
