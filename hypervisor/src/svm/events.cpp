// NMIs and machine checks on AMD-V.
//
// While GIF is clear the CPU keeps a machine check pending, or shuts down if it cannot (APM Vol. 2,
// table 15-10). So the host takes one only where it sets GIF, and injects it at the end of that
// exit; the CPU itself delivers a later one, in the guest.
//
// NMIs: with vNMI (AMD APM Vol. 2, 15.21.10) the CPU masks them and delivers a pending one.
// Without it:
//   - The end of the guest's NMI handler is not reported, so its IRET is intercepted, and if
//     another NMI is pending, stepped over: that one is due right after the IRET, whatever RFLAGS
//     says.
//   - The NMI window is an NMI of the host to itself. It stays pending until VMRUN, and the CPU
//     exits where it would have taken it: after an injected event, after an interrupt shadow.
#include "svm/events.hpp"
#include "apic/access.hpp"
#include "emulate/handle.hpp"
#include "svm/exit_code.hpp"
#include "svm/shared.hpp"
#include "x86/apic.hpp"
#include "x86/instructions.hpp"
#include <utility>

namespace zpp::svm {
namespace {

using x86::Dr6;
using x86::Rflags;

bool is_nmi_exit(const Vmcb& vmcb) { return vmcb.exit_code == static_cast<u64>(ExitCode::nmi); }

// An IRET with RFLAGS.NT is a task switch, which would save RFLAGS.TF in a TSS.
bool switches_task(const Vmcb& vmcb)
{
    return has(vmcb.rflags, Rflags::nt) && !has(vmcb.efer, x86::Efer::lma);
}

// RFLAGS.RF: the IRET's breakpoint has been reported before its intercept. With RFLAGS.IF clear no
// interrupt saves RFLAGS.TF on its stack. The IRET loads all of RFLAGS.
void begin_step(VcpuState& state, Vmcb& vmcb)
{
    constexpr u32 nmi_and_coprocessor = 1u << x86::vector_nmi | 1u << 9; // cannot be intercepted
    state.stepping = true;
    state.stepped_exceptions = std::exchange(vmcb.intercept_exceptions, ~nmi_and_coprocessor);
    state.stepped_rflags = vmcb.rflags;
    state.stepped_dr6 = std::exchange(vmcb.dr6, Dr6::at_reset);
    vmcb.rflags = (vmcb.rflags & ~Rflags::if_) | Rflags::tf | Rflags::rf;
    vmcb.clean &= ~(Clean::intercepts | Clean::drx);
}

void end_step(VcpuState& state, Vmcb& vmcb)
{
    state.stepping = false;
    state.iret_rip = 0;
    vmcb.intercept_exceptions = state.stepped_exceptions;
    vmcb.clean &= ~(Clean::intercepts | Clean::drx);
}

// Until the next IRET.
void mask_nmis(VcpuState& state, Vmcb& vmcb)
{
    state.nmi_masked = true;
    vmcb.intercept_vector_3 |= InterceptVector3::iret;
    vmcb.clean &= ~Clean::intercepts;
}

// The #DB after the IRET: the guest's own if it was stepping, or watched what the IRET read.
void on_step_trap(Guest& guest)
{
    constexpr u64 enable_bits = 3; // DR7.L and DR7.G of each breakpoint
    Vmcb& vmcb = guest.vmcb;
    const VcpuState& state = state_of(guest.vcpu);
    Dr6 hits{};
    for (unsigned number = 0; number < 4; ++number)
        if ((vmcb.dr7 >> (2 * number) & enable_bits) != 0)
            hits |= vmcb.dr6 & Dr6{bit(number)};
    const bool was_stepping = has(state.stepped_rflags, Rflags::tf);
    vmcb.dr6 = state.stepped_dr6 | hits;
    if (was_stepping)
        vmcb.dr6 |= Dr6::bs;
    if (was_stepping || has(hits, Dr6::breakpoints))
        guest.inject(x86::Event::exception(x86::vector_debug, vmcb.cr0));
}

// The IRET has faulted, which leaves everything as it was.
void on_step_fault(Guest& guest, u8 vector)
{
    Vmcb& vmcb = guest.vmcb;
    const VcpuState& state = state_of(guest.vcpu);
    vmcb.rflags = state.stepped_rflags | Rflags::rf; // as the CPU pushes it for a fault
    vmcb.dr6 = state.stepped_dr6;
    if (vector == x86::vector_page_fault)
        vmcb.cr2 = vmcb.exit_info_2;
    guest.inject(x86::Event::exception(vector, vmcb.cr0, static_cast<u32>(vmcb.exit_info_1)));
}

} // namespace

bool Guest::takes_nmi() const
{
    if (shared.virtual_nmi)
        return true;
    const VcpuState& state = state_of(vcpu);
    const bool shadowed = (vmcb.interrupt_state & interrupt_shadow) != 0;
    return !state.nmi_masked && !state.nmi_window_open && vmcb.rip != state.iret_rip &&
           !x86::is_event(vmcb.event_injection) && (!shadowed || is_nmi_exit(vmcb));
}

void Guest::open_nmi_window()
{
    VcpuState& state = state_of(vcpu);
    if (state.nmi_masked || state.stepping)
        return; // the intercepted IRET opens it
    if (vmcb.rip != state.iret_rip)
        return exit_at_once();
    if (!switches_task(vmcb))
        begin_step(state, vmcb);
}

// After the injected event, once the CPU takes NMIs. A step ends with an exit anyway.
void Guest::exit_at_once()
{
    VcpuState& state = state_of(vcpu);
    if (state.nmi_window_open || state.stepping)
        return;
    // Not twice in a row: if a CPU took the NMI before the injected event, this would never end.
    if ((is_nmi_exit(vmcb) && state.nmi_was_window) ||
        !has(x86::rdmsr<x86::ApicBase>(), x86::ApicBase::en))
        return; // the next exit tries again
    state.nmi_window_open = true;
    apic_access::send(vcpu.apic_id, static_cast<u32>(DeliveryMode::nmi) << 8 | 1u << 14);
}

// During a step RFLAGS is not the guest's, so no event must save it.
bool Guest::injects_event() const
{
    return x86::is_event(vmcb.event_injection) || state_of(vcpu).stepping;
}

// An exception during the step over an IRET.
void Guest::close_nmi_window()
{
    VcpuState& state = state_of(vcpu);
    if (!state.stepping)
        crash_on_exit("an exception that is not intercepted", registers);
    end_step(state, vmcb);
    const auto vector = static_cast<u8>(vmcb.exit_code - static_cast<u64>(ExitCode::exception_0));
    if (vector == x86::vector_debug)
        on_step_trap(*this);
    else
        on_step_fault(*this, vector);
}

void Guest::inject_nmi()
{
    if (shared.virtual_nmi) {
        vmcb.virtual_interrupt |= VirtualInterrupt::v_nmi_pending;
        vmcb.clean &= ~Clean::tpr;
        return;
    }
    end_interrupt_shadow();
    inject(x86::Event::nmi());
    mask_nmis(state_of(vcpu), vmcb);
}

void deliver_events(Guest& guest)
{
    Vmcb& vmcb = guest.vmcb;
    if (!x86::is_event(vmcb.event_injection) && x86::is_event(vmcb.exit_interrupt_info))
        vmcb.event_injection = vmcb.exit_interrupt_info;
    deliver_machine_check(guest);
    // An event in place of the IRET that was to end the guest's NMI handler.
    VcpuState& state = state_of(guest.vcpu);
    if (x86::is_event(vmcb.event_injection) && state.iret_rip != 0 && vmcb.rip == state.iret_rip &&
        !state.stepping) {
        mask_nmis(state, vmcb);
        state.iret_rip = 0;
    }
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

bool take_window_nmi(Vcpu& vcpu)
{
    VcpuState& state = state_of(vcpu);
    state.nmi_was_window = std::exchange(state.nmi_window_open, false);
    return state.nmi_was_window;
}

void forget_events(Guest& guest)
{
    VcpuState& state = state_of(guest.vcpu);
    if (state.stepping)
        end_step(state, guest.vmcb);
    guest.vcpu.nmi_pending = false;
    state.nmi_masked = false;
    state.iret_rip = 0;
    guest.vmcb.intercept_vector_3 &= ~InterceptVector3::iret;
}

} // namespace zpp::svm
