#include "vmx/requested_exits.hpp"
#include "apic/startup.hpp"
#include "vmx/controls.hpp"
#include "vmx/shared.hpp"
#include "vmx/vcpu_state.hpp"
#include "vmx/vmcs.hpp"

namespace zpp::vmx {
namespace {

bool wants_exit_at_once(const Vcpu& vcpu)
{
    return state_of(vcpu).kicked || vcpu.machine_check_pending;
}

// A timer of 0: the next VM entry exits before it runs an instruction of the guest.
PinControls wanted_pin(const Vcpu& vcpu)
{
    const Capabilities& capabilities = shared.capabilities;
    return capabilities.preemption_timer && wants_exit_at_once(vcpu)
               ? capabilities.pin | PinControls::activate_preemption_timer
               : capabilities.pin;
}

// Without the VMX-preemption timer an immediate exit waits for the end of the guest's NMI handler.
PrimaryControls wanted_primary(const Vcpu& vcpu)
{
    const Capabilities& capabilities = shared.capabilities;
    PrimaryControls wanted = capabilities.primary;
    if (vcpu.nmi_pending || (!capabilities.preemption_timer && wants_exit_at_once(vcpu)))
        wanted |= PrimaryControls::nmi_window_exiting;
    if (capabilities.monitor_trap_flag && state_of(vcpu).cr_retry.pending)
        wanted |= PrimaryControls::monitor_trap_flag;
    return wanted;
}

// An NMI in the host may request other controls just before this write, which would undo them.
template <class Field, class Controls>
void write(const Vcpu& vcpu, Field field, Controls (*wanted)(const Vcpu&))
{
    Controls written;
    do {
        written = wanted(vcpu);
        vmcs::write(field, written);
    } while (wanted(vcpu) != written);
}

} // namespace

void request_exits(const Vcpu& vcpu)
{
    write(vcpu, Field32::pin_based_controls, wanted_pin);
    write(vcpu, Field32::primary_controls, wanted_primary);
}

void take_nmi(Vcpu& vcpu)
{
    if (startup::take_kick(vcpu))
        state_of(vcpu).kicked = true;
    else
        vcpu.nmi_pending = true;
    request_exits(vcpu);
}

} // namespace zpp::vmx
