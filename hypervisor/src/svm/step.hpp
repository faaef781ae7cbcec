// A step over one instruction of the guest, by RFLAGS.TF: the IRET that ends an NMI handler
// (events.cpp), or a store to the xAPIC's page that the core cannot execute itself.
#pragma once
#include "emulate/vm_exit.hpp"
#include "svm/guest.hpp"

namespace zpp::svm {

// All exceptions exit until the step ends.
void begin_step(Guest& guest);

// At the exit of an exception: the instruction has run, or faulted. Injects what it has raised.
void finish_step(Guest& guest);

// The instruction has not run.
void cancel_step(Guest& guest);

// The guest executes its store, while it alone can write the page. Only those of known forms may
// start CPUs.
[[nodiscard]] Outcome step_over_store(Guest& guest, Gpa address);

} // namespace zpp::svm
