// Events for the guest: exceptions of emulated instructions, deliveries that an exit broke off, and
// NMIs. SVM does not say when the guest's NMI handler ends, so its IRET is intercepted.
#pragma once
#include "core/vcpu.hpp"
#include "svm/vmcb.hpp"

namespace zpp::svm {

// At the next VMRUN; #GP gets the error code 0.
void inject_exception(Vmcb& vmcb, u8 vector);

// Before each VMRUN, when the exit has been handled: what the guest has to get now.
void deliver_events(Vcpu& vcpu, Vmcb& vmcb);

// The exits that deliver_events() has asked for.
void on_iret(Vcpu& vcpu, Vmcb& vmcb);
void on_virtual_interrupt(Vcpu& vcpu, Vmcb& vmcb);

// An INIT clears what was pending.
void forget_events(Vcpu& vcpu, Vmcb& vmcb);

} // namespace zpp::svm
