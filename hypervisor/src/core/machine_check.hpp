// Machine checks (#MC) in the host (SDM Vol. 3B, ch. 16; AMD APM Vol. 2, ch. 9). Those in the guest
// are not intercepted.
//
// If the host can continue, the guest handles them: the core writes no machine-check register, so
// the guest finds MCG_STATUS.MCIP set, and another machine check before it clears the bit shuts the
// CPU down.
#pragma once
#include "core/vcpu.hpp"
#include "x86/msr.hpp"

namespace zpp::machine_check {

// Whether the guest takes one with this status and the host continues.
bool is_for_guest(x86::McgStatus status, const Vcpu& vcpu);

// Saves one for the guest; false if the host must end. For the host's exception handler.
[[nodiscard]] bool note(Vcpu& vcpu);

// Logs the status of this CPU, and its first bank with an error.
void report(const Vcpu& vcpu);

// Crashes if one is pending, because the core cannot raise it after it has left the CPU.
void end_if_pending(const Vcpu& vcpu);

} // namespace zpp::machine_check
