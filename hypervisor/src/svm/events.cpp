#include "svm/events.hpp"
#include "emulate/handle.hpp"

namespace zpp::svm {

void Guest::open_nmi_window()
{
    if (state_of(vcpu).nmi_masked)
        return; // the intercepted IRET opens it
    vmcb.virtual_interrupt = virtual_irq;
    vmcb.intercept_vector_3 |= InterceptVector3::vintr;
    vmcb.clean &= ~(Clean::intercepts | Clean::tpr);
}

void Guest::close_nmi_window()
{
    vmcb.virtual_interrupt = 0;
    vmcb.intercept_vector_3 &= ~InterceptVector3::vintr;
    vmcb.clean &= ~(Clean::intercepts | Clean::tpr);
    state_of(vcpu).iret_rip = 0;
}

void Guest::inject_nmi()
{
    state_of(vcpu).nmi_masked = true;
    inject(x86::Event::nmi());
    vmcb.intercept_vector_3 |= InterceptVector3::iret;
    vmcb.clean &= ~Clean::intercepts;
}

void deliver_events(Guest& guest)
{
    Vmcb& vmcb = guest.vmcb;
    if (x86::is_event(vmcb.event_injection))
        return;
    if (x86::is_event(vmcb.exit_interrupt_info))
        vmcb.event_injection = vmcb.exit_interrupt_info;
    else
        deliver_nmi(guest);
}

// The IRET has not run yet; until it has, takes_nmi() is false.
void on_iret(Guest& guest)
{
    guest.vmcb.intercept_vector_3 &= ~InterceptVector3::iret;
    guest.vmcb.clean &= ~Clean::intercepts;
    state_of(guest.vcpu).nmi_masked = false;
    state_of(guest.vcpu).iret_rip = guest.vmcb.rip;
}

void forget_events(Guest& guest)
{
    guest.vcpu.nmi_pending = false;
    state_of(guest.vcpu).nmi_masked = false;
    state_of(guest.vcpu).iret_rip = 0;
    guest.vmcb.intercept_vector_3 &= ~(InterceptVector3::iret | InterceptVector3::vintr);
}

} // namespace zpp::svm
