// Writes the guest-state area of the VMCS, and back to the CPU.
#pragma once
#include "vmx/guest.hpp"

namespace zpp::vmx {

// At the launch: the guest continues where the OS called the loader's trampoline.
void write_guest_state(const zpp_cpu_state& os);

// The state after INIT (SDM Vol. 3A, table 10-1), with general registers, at the reset vector.
void write_init_state(GuestRegisters& registers);

// After write_init_state(): the state after a SIPI, in real mode at vector * 4096.
void write_sipi_state(u8 vector);

// Loads the OS's values into the CPU again; `os` gets those that the loader's trampoline restores.
// Only VMXOFF and the jump to the trampoline may follow.
void restore_to_cpu(const Guest& guest, zpp_cpu_state& os);

// Logs the VMCS, for a crash report.
void dump();

} // namespace zpp::vmx
