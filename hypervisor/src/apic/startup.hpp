// INIT and SIPI between vCPUs, delivered in software. On AMD-V a physical INIT would take the CPU
// away from the host: QEMU's TCG resets the CPU even if INIT is intercepted, real CPUs keep it
// pending. On VT-x a physical SIPI that meets the INIT's VM exit is lost.
#pragma once
#include "core/vcpu.hpp"
#include "x86/apic.hpp"

namespace zpp::startup {

// Handles a write of the guest to its ICR. Returns true if the CPU must not send it.
[[nodiscard]] bool intercept(Vcpu& sender, const Icr& icr);

// Before each VM entry: if another CPU has sent an INIT, calls `reset` for the INIT state, waits
// for a SIPI and calls `start` with its vector. The BSP does not wait. `wait` is called while
// waiting, and returns at once.
struct Actions {
    void (*reset)(GuestRegisters& registers);
    void (*start)(u8 vector);
    void (*wait)();
};
void take(Vcpu& vcpu, GuestRegisters& registers, const Actions& actions);

// Whether the CPU has an INIT to take, or waits for a SIPI.
inline bool waits(const Vcpu& vcpu)
{
    return __atomic_load_n(&vcpu.startup.state, __ATOMIC_SEQ_CST) != 0;
}
bool anyone_waits();

// This CPU has received a physical INIT. Returns false if the INIT is known already.
bool init_arrived(Vcpu& vcpu);

// Delivers again what this CPU has sent last without a VM exit: the target may have dropped a SIPI
// that came during the VM exit of the INIT.
void catch_up(Vcpu& vcpu);

// Notes the registers of this CPU's local APIC that decide which destinations match it.
void note_identity(Vcpu& vcpu);

// How many INITs and SIPIs intercept() has seen.
u32 commands();

// Makes all other launched CPUs exit, with an NMI that take_kick() recognizes.
void kick_others(const Vcpu& sender);

// This CPU is launched no longer. Calls `wait` until no kick is on its way to it.
void leave(Vcpu& vcpu, void (*wait)());

// Whether a kick to this CPU is pending. Then it must not be devirtualized.
[[nodiscard]] bool is_kicked(const Vcpu& vcpu);

// For an NMI: takes the pending kick. Returns whether there was one.
[[nodiscard]] bool take_kick(Vcpu& vcpu);

} // namespace zpp::startup
