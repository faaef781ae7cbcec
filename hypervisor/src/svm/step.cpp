#include "svm/step.hpp"
#include "svm/exit_code.hpp"
#include "svm/shared.hpp"
#include "svm/vcpu_state.hpp"
#include "x86/apic.hpp"
#include "x86/instructions.hpp"
#include <utility>

namespace zpp::svm {
namespace {

using x86::DebugCtl;
using x86::Dr6;
using x86::Rflags;

void use_tables(Vmcb& vmcb, Hpa root)
{
    vmcb.nested_cr3 = root.value;
    vmcb.clean &= ~Clean::np;
    vmcb.tlb_control = tlb_flush_all;
}

void end(Guest& guest)
{
    VcpuState& state = state_of(guest.vcpu);
    Vmcb& vmcb = guest.vmcb;
    state.stepping = false;
    state.iret_rip = 0;
    vmcb.intercept_exceptions = state.stepped_exceptions;
    vmcb.clean &= ~(Clean::intercepts | Clean::drx);
    if (!std::exchange(state.page_is_open, false))
        return;
    use_tables(vmcb, shared.nested_cr3);
    if (has(state.stepped_debug_control, DebugCtl::btf))
        x86::wrmsr(state.stepped_debug_control);
}

// The #DB after the instruction: the guest's own if it was stepping, or watched what was accessed.
void on_trap(Guest& guest, bool was_store)
{
    constexpr u64 enable_bits = 3; // DR7.L and DR7.G of each breakpoint
    Vmcb& vmcb = guest.vmcb;
    const VcpuState& state = state_of(guest.vcpu);
    Dr6 hits{};
    for (unsigned number = 0; number < 4; ++number)
        if ((vmcb.dr7 >> (2 * number) & enable_bits) != 0)
            hits |= vmcb.dr6 & Dr6{bit(number)};
    bool was_stepping = has(state.stepped_rflags, Rflags::tf);
    if (was_store) { // an IRET has loaded all of RFLAGS, and is a branch
        constexpr Rflags replaced = Rflags::tf | Rflags::if_;
        vmcb.rflags = (vmcb.rflags & ~replaced) | (state.stepped_rflags & replaced);
        was_stepping = was_stepping && !has(state.stepped_debug_control, DebugCtl::btf);
    }
    vmcb.dr6 = state.stepped_dr6 | hits;
    if (was_stepping)
        vmcb.dr6 |= Dr6::bs;
    if (was_stepping || has(hits, Dr6::breakpoints))
        guest.inject(x86::Event::exception(x86::vector_debug, vmcb.cr0));
}

// A fault leaves everything as it was.
void on_fault(Guest& guest, u8 vector)
{
    Vmcb& vmcb = guest.vmcb;
    const VcpuState& state = state_of(guest.vcpu);
    vmcb.rflags = state.stepped_rflags | Rflags::rf; // as the CPU pushes it for a fault
    vmcb.dr6 = state.stepped_dr6;
    if (vector == x86::vector_page_fault)
        vmcb.cr2 = vmcb.exit_info_2;
    guest.inject(x86::Event::exception(vector, vmcb.cr0, static_cast<u32>(vmcb.exit_info_1)));
}

// The CPU delivers it before the next instruction, and its handler's frame would have RFLAGS.TF.
bool takes_virtual_nmi(const Vmcb& vmcb)
{
    return has(vmcb.virtual_interrupt, VirtualInterrupt::v_nmi_pending) &&
           !has(vmcb.virtual_interrupt, VirtualInterrupt::v_nmi_mask);
}

} // namespace

// RFLAGS.RF: the instruction's breakpoint has been reported before its intercept. With RFLAGS.IF
// clear no interrupt saves RFLAGS.TF on its stack.
void begin_step(Guest& guest)
{
    constexpr u32 nmi_and_coprocessor = 1u << x86::vector_nmi | 1u << 9; // cannot be intercepted
    VcpuState& state = state_of(guest.vcpu);
    Vmcb& vmcb = guest.vmcb;
    state.stepping = true;
    state.stepped_exceptions = std::exchange(vmcb.intercept_exceptions, ~nmi_and_coprocessor);
    state.stepped_rflags = vmcb.rflags;
    state.stepped_dr6 = std::exchange(vmcb.dr6, Dr6::at_reset);
    vmcb.rflags = (vmcb.rflags & ~Rflags::if_) | Rflags::tf | Rflags::rf;
    vmcb.clean &= ~(Clean::intercepts | Clean::drx);
}

void finish_step(Guest& guest)
{
    const bool was_store = state_of(guest.vcpu).page_is_open;
    end(guest);
    const auto vector =
        static_cast<u8>(guest.vmcb.exit_code - static_cast<u64>(ExitCode::exception_0));
    if (vector == x86::vector_debug)
        on_trap(guest, was_store);
    else
        on_fault(guest, vector);
}

void cancel_step(Guest& guest)
{
    end(guest);
    guest.vmcb.rflags = state_of(guest.vcpu).stepped_rflags;
    guest.vmcb.dr6 = state_of(guest.vcpu).stepped_dr6;
}

Outcome step_over_store(Guest& guest, Gpa address)
{
    constexpr u64 distance = 16; // of registers
    VcpuState& state = state_of(guest.vcpu);
    if (address.offset_in_page() / distance == apic_icr_low / distance ||
        x86::is_event(guest.vmcb.exit_interrupt_info))
        return Outcome::general_protection;
    guest.end_interrupt_shadow(); // it would hold the NMI back until the store has run
    if (takes_virtual_nmi(guest.vmcb))
        return Outcome::retry;
    begin_step(guest);
    use_tables(guest.vmcb, shared.open_nested_cr3);
    state.page_is_open = true;
    state.stepped_debug_control = guest.debug_control();
    if (has(state.stepped_debug_control, DebugCtl::btf)) // TF would trap at the next branch only
        x86::wrmsr(state.stepped_debug_control & ~DebugCtl::btf);
    return Outcome::retry;
}

} // namespace zpp::svm
