// Whether writes to the ICR exit, on a vendor where only INIT and SIPI need it. Then a running guest
// pays for its interrupts only while it starts CPUs: see docs/adr/0012.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::icr_trap {

struct Switch {
    void (*set)(bool on); // for all CPUs; each notices at its next flush()
    void (*flush)();      // this CPU's cached translations
};

// Once, at PREPARE: switches the trap on if there is a CPU to start.
void prepare(const Switch& how);

// After each write that was trapped. Switches the trap off after a number of writes that start no
// CPU.
void after_write(Vcpu& vcpu);

// This CPU has received a physical INIT: its sender is not trapped.
void on_init(Vcpu& vcpu);

// This CPU was kicked: the trap has been switched on.
void on_kick(Vcpu& vcpu);

// Switches the trap off for a write that cannot be emulated.
void give_way();

} // namespace zpp::icr_trap
