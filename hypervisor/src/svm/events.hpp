// Events for the guest: event deliveries that an exit interrupted, and NMIs.
#pragma once
#include "svm/guest.hpp"

namespace zpp::svm {

// After each exit, before VMRUN: injects what is due.
void deliver_events(Guest& guest);

// The guest's NMI handler is about to end, with an IRET.
void on_iret(Guest& guest);

// In the host's NMI handler. Returns whether the host has sent this NMI as the guest's NMI window.
[[nodiscard]] bool take_window_nmi(Vcpu& vcpu);

// On an INIT: drops what is pending.
void forget_events(Guest& guest);

} // namespace zpp::svm
