// Events for the guest: deliveries that an exit interrupted, and NMIs.
#pragma once
#include "svm/guest.hpp"

namespace zpp::svm {

// Before each VMRUN, when the exit has been handled: what the guest has to get now.
void deliver_events(Guest& guest);

// The guest's NMI handler ends with this IRET.
void on_iret(Guest& guest);

// An INIT clears what was pending.
void forget_events(Guest& guest);

} // namespace zpp::svm
