// The guest-state area of the VMCS: as the OS left the CPU, as INIT leaves it, and back to the CPU.
#pragma once
#include "vmx/guest.hpp"

namespace zpp::vmx {

// At the launch: the guest goes on exactly where the OS called the loader's trampoline.
void write_guest_state(const zpp_cpu_state& os);

// As an INIT leaves a CPU (SDM Vol. 3A, table 10-1), general registers included: at the reset
// vector.
void write_init_state(GuestRegisters& registers);

// An AP waits for a SIPI; the rest of its state is still that before the INIT.
void write_wait_for_sipi();

// As an INIT and a SIPI start a CPU: real mode at vector * 4096.
void write_sipi_state(GuestRegisters& registers, u8 vector);

// What VM exits have loaded with the host's values is given back to the OS, and `os` gets what the
// loader's trampoline restores. After this only VMXOFF and the jump to the trampoline may follow.
void restore_to_cpu(const Guest& guest, zpp_cpu_state& os);

// For a crash report.
void dump();

} // namespace zpp::vmx
