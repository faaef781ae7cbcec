// INIT and SIPI between vCPUs, delivered in software. A physical INIT would take the CPU away from
// the host: QEMU's TCG resets the CPU even if INIT is intercepted, real CPUs keep it pending.
#pragma once
#include "core/vcpu.hpp"
#include "x86/apic.hpp"

namespace zpp::startup {

// Handles a write of the guest to its ICR. Returns true if the CPU must not send it.
[[nodiscard]] bool intercept(Vcpu& sender, const Icr& icr);

// Before each VMRUN: if another CPU has sent an INIT, calls `reset` for the INIT state, waits for a
// SIPI and calls `start` with its vector. The BSP does not wait. `wait` is called while waiting,
// and returns at once.
struct Actions {
    void (*reset)(GuestRegisters& registers);
    void (*start)(u8 vector);
    void (*wait)();
};
void take(Vcpu& vcpu, GuestRegisters& registers, const Actions& actions);

inline bool waits(const Vcpu& vcpu)
{
    return __atomic_load_n(&vcpu.startup.state, __ATOMIC_ACQUIRE) != 0;
}

// This CPU has received a physical INIT (VMEXIT_INIT or #SX).
void init_arrived(Vcpu& vcpu);

// Whether a kick to this CPU is pending. Then it must not be devirtualized.
[[nodiscard]] bool is_kicked(const Vcpu& vcpu);

// In the NMI handler: takes the pending kick. Returns whether there was one.
[[nodiscard]] bool take_kick(Vcpu& vcpu);

} // namespace zpp::startup
