#include "svm/events.hpp"
#include "x86/exceptions.hpp"

namespace zpp::svm {
namespace {

// An exit as soon as the guest takes interrupts: a virtual one that never arrives.
void request_virtual_interrupt(Vmcb& vmcb)
{
    vmcb.virtual_interrupt = virtual_irq;
    vmcb.intercept_1 |= intercept_vintr;
    vmcb.clean &= ~(clean_intercepts | clean_interrupt);
}

} // namespace

void inject_exception(Vmcb& vmcb, u8 vector)
{
    const bool has_error_code = vector == x86::vector_general_protection;
    vmcb.event_injection =
        event_valid | event_exception | vector | (has_error_code ? event_error_code : 0);
}

void deliver_events(Vcpu& vcpu, Vmcb& vmcb)
{
    if ((vmcb.event_injection & event_valid) != 0)
        return;
    if ((vmcb.exit_interrupt_info & event_valid) != 0) {
        vmcb.event_injection = vmcb.exit_interrupt_info;
        return;
    }
    if (!vcpu.nmi_pending || vcpu.nmi_masked)
        return;
    if (vmcb.rip == vcpu.iret_rip || (vmcb.interrupt_state & shadow) != 0)
        return request_virtual_interrupt(vmcb);
    vcpu.nmi_pending = false;
    vcpu.nmi_masked = true;
    vmcb.event_injection = event_valid | event_nmi | x86::vector_nmi;
    vmcb.intercept_1 |= intercept_iret;
    vmcb.clean &= ~clean_intercepts;
}

// The IRET has not run yet: an NMI that comes now must wait until it has.
void on_iret(Vcpu& vcpu, Vmcb& vmcb)
{
    vmcb.intercept_1 &= ~intercept_iret;
    vmcb.clean &= ~clean_intercepts;
    vcpu.nmi_masked = false;
    vcpu.iret_rip = vmcb.rip;
}

void on_virtual_interrupt(Vcpu& vcpu, Vmcb& vmcb)
{
    vmcb.virtual_interrupt = 0;
    vmcb.intercept_1 &= ~intercept_vintr;
    vmcb.clean &= ~(clean_intercepts | clean_interrupt);
    vcpu.iret_rip = 0;
}

void forget_events(Vcpu& vcpu, Vmcb& vmcb)
{
    vcpu.nmi_pending = false;
    vcpu.nmi_masked = false;
    vcpu.iret_rip = 0;
    vmcb.intercept_1 &= ~(intercept_iret | intercept_vintr);
}

} // namespace zpp::svm
