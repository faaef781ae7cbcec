// INIT and SIPI between vCPUs, delivered in software: a physical INIT would take the CPU from the
// host (QEMU's TCG resets it even when the INIT was intercepted; real CPUs leave it pending).
#pragma once
#include "svm/vcpu_state.hpp"
#include "x86/apic.hpp"

namespace zpp::svm::startup {

// What the guest on this CPU has written to its ICR. True if the CPU must not send it itself.
[[nodiscard]] bool intercept(Vcpu& sender, const Icr& icr);

// Before each VMRUN: if this CPU was sent an INIT, `reset` gives it the INIT state, and the call
// comes back when a SIPI has come (the BSP does not wait), with its vector given to `start`.
// `wait` comes back at once; it is called now and then as long as no SIPI has come.
struct Actions {
    void (*reset)(GuestRegisters& registers);
    void (*start)(u8 vector);
    void (*wait)();
};
void take(Vcpu& vcpu, GuestRegisters& registers, const Actions& actions);

inline bool waits(const Vcpu& vcpu)
{
    return __atomic_load_n(&state_of(vcpu).startup, __ATOMIC_ACQUIRE) != 0;
}

// This CPU itself was reset by an INIT from elsewhere (VMEXIT_INIT or #SX).
void init_arrived(Vcpu& vcpu);

// Whether a kick is on its way to this CPU, which must not be given back then.
[[nodiscard]] bool is_kicked(const Vcpu& vcpu);

// In the NMI handler: whether this NMI was one of ours.
[[nodiscard]] bool take_kick(Vcpu& vcpu);

} // namespace zpp::svm::startup
