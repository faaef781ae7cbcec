// Stopping the machine after a crash: all CPUs, then a reset.
#pragma once
#include "core/vcpu.hpp"

namespace zpp {

// Asks the other CPUs to stop, with an NMI. Returns whether this CPU is the first that asks.
bool stop_other_cpus();

// From the handling of each NMI, in the host and in the guest: does not return if another CPU has
// asked this one to stop.
void stop_if_asked();

// Whether a CPU has crashed and stops the others.
bool is_stopping();

// The last act of the first CPU that crashed: waits for the others, then for the time that the user
// has set, and resets the machine.
[[noreturn]] void reset_after_crash();

// The last act of any other CPU.
[[noreturn]] void stop_this_cpu();

// Shuts the CPU down, as a triple fault does on the bare CPU; the platform then resets the machine.
[[noreturn]] void shut_down(Vcpu& vcpu);

} // namespace zpp
