// Handling of VM exits that both vendors share: emulated instructions, injection, advancing RIP.
#pragma once
#include "core/crash.hpp"
#include "core/log.hpp"
#include "core/machine_check.hpp"
#include "core/stop.hpp"
#include "emulate/control.hpp"
#include "emulate/cpuid.hpp"
#include "emulate/guest_state.hpp"
#include "emulate/hypercall.hpp"
#include "emulate/msr.hpp"
#include "emulate/sleep.hpp"
#include "guest/memory.hpp"
#include "x86/control_registers.hpp"
#include "x86/msr.hpp"

namespace zpp {

// RIP wraps at the size of the code segment; it cannot unless bits above bit 15 change.
constexpr bool may_wrap(u64 rip, u64 next) { return (rip ^ next) >> 16 != 0; }

// RFLAGS.TF traps after each instruction; with DEBUGCTL.BTF after each branch, and none of those
// exits.
template <class G> bool traps_after_instruction(const G& guest)
{
    return has(guest.rflags(), x86::Rflags::tf) && !has(guest.debug_control(), x86::DebugCtl::btf);
}

// The fast paths leave a guest with one of these flags to advance().
constexpr x86::Rflags acts_after_instruction = x86::Rflags::tf | x86::Rflags::rf;

template <class G> u64 next_rip(const G& guest, unsigned instruction_length)
{
    const u64 rip = guest.rip();
    const u64 next = rip + instruction_length;
    if (may_wrap(rip, next)) [[unlikely]]
        return wrap_to(next, guest.code_size());
    return next;
}

// Moves RIP past an emulated instruction, with the effects of an instruction boundary.
template <class G> [[gnu::always_inline]] inline void advance(G& guest, unsigned instruction_length)
{
    guest.set_rip(next_rip(guest, instruction_length));
    guest.end_interrupt_shadow();
    const x86::Rflags flags = guest.rflags();
    if (!has(flags, acts_after_instruction)) [[likely]]
        return;
    // RF suppresses the instruction breakpoints of one instruction only (SDM Vol. 3B, 18.3.1.1).
    guest.set_rflags(flags & ~x86::Rflags::rf);
    if (traps_after_instruction(guest))
        guest.pend_single_step();
}

// Injects an exception of the class of faults, at the instruction that exited. Injection leaves RF
// as it is, so the core sets it in the image that the fault pushes (SDM Vol. 3B, 18.3.1.1; Vol. 3C,
// 27.6.1.1). Real mode pushes 16 bits.
template <class G> void inject_fault(G& guest, u8 vector)
{
    const x86::Cr0 cr0 = guest.cr0();
    if (has(cr0, x86::Cr0::pe))
        guest.set_rflags(guest.rflags() | x86::Rflags::rf);
    guest.inject(x86::Event::exception(vector, cr0));
}

template <class G>
[[gnu::always_inline]] inline void apply(G& guest, const VmExit& exit, Outcome outcome)
{
    switch (outcome) {
    case Outcome::advance:
        if (exit.instruction_length == 0) [[unlikely]]
            crash_on_exit("cannot tell the length of the instruction", guest.registers);
        return advance(guest, exit.instruction_length);
    case Outcome::retry: return;
    case Outcome::undefined_opcode: return inject_fault(guest, x86::vector_undefined_opcode);
    case Outcome::general_protection: return inject_fault(guest, x86::vector_general_protection);
    }
}

// Injects the pending machine check. It replaces no event: a pending event comes first, then the
// machine check before that event's handler, as on a bare CPU if it arrives during the delivery.
// Without CR4.MCE the CPU shuts down (SDM Vol. 3B, 16.3.1.2 and Vol. 3A, 2.5; AMD APM Vol. 2, 9.3.1).
template <class G> void deliver_machine_check(G& guest)
{
    if (!guest.vcpu.machine_check_pending) [[likely]]
        return;
    if (has(guest.cr4(), x86::Cr4::mce) && guest.injects_event())
        return guest.exit_at_once();
    machine_check::report(guest.vcpu);
    if (!has(guest.cr4(), x86::Cr4::mce)) {
        log::line("zpp: CPU {}: machine check, but CR4.MCE is 0: shutdown", guest.vcpu.index);
        log::note_end(ZPP_LOG_TRIPLE_FAULT, "CPU {}: machine check with CR4.MCE = 0",
                      guest.vcpu.index);
        shut_down(guest.vcpu);
    }
    guest.vcpu.machine_check_pending = false;
    guest.inject_machine_check();
}

// Injects the pending NMI, now or at the next NMI window.
template <class G> void deliver_nmi(G& guest)
{
    if (!guest.vcpu.nmi_pending)
        return;
    if (!guest.takes_nmi())
        return guest.open_nmi_window();
    guest.vcpu.nmi_pending = false;
    guest.inject_nmi();
}

// Closes the window first: an NMI in the host between the steps opens it again.
template <class G> void on_nmi_window(G& guest)
{
    guest.close_nmi_window();
    deliver_nmi(guest);
}

template <class G> Outcome on_hypercall(G& guest)
{
    if (!is_hypercall(guest.registers) || guest.cpl() != 0)
        return Outcome::undefined_opcode;
    if (guest.vcpu.machine_check_pending)
        return Outcome::retry; // the guest takes it before zpp leaves
    if (is_devirtualize_call(guest.vcpu, guest.registers, guest.rip()))
        guest.devirtualize(*guest.vcpu.call);
    return emulate_hypercall(guest.registers);
}

// Shuts down as the bare CPU does; the platform then resets the machine. Some systems restart this
// way, so it is not a crash.
template <class G> [[noreturn]] void on_triple_fault(G& guest)
{
    log::line("zpp: CPU {}: triple fault in the guest at rip {x}: shutdown", guest.vcpu.index,
              guest.rip());
    log::note_end(ZPP_LOG_TRIPLE_FAULT, "CPU {}: triple fault in the guest at rip {x}",
                  guest.vcpu.index, guest.rip());
    shut_down(guest.vcpu);
}

// Handles the exits that do not need the vendor.
template <class G> [[gnu::always_inline]] inline Outcome handle_exit(G& guest, const VmExit& exit)
{
    switch (exit.reason) {
    case VmExit::Reason::cpuid:
        // The intercept comes before CPUID faulting (SDM Vol. 3B, 2.2; APM Vol. 2, 3.2.10).
        if (guest.vcpu.cpuid_faults && guest.cpl() != 0)
            return Outcome::general_protection;
        emulate_cpuid(guest.registers, {guest.cr4(), guest.cpuid_shows_syscall()});
        return Outcome::advance;
    case VmExit::Reason::rdmsr: return emulate_rdmsr(G::msr_handlers(), exit, guest.registers);
    case VmExit::Reason::wrmsr: return emulate_wrmsr(G::msr_handlers(), exit);
    case VmExit::Reason::xsetbv: return emulate_xsetbv(exit.index, exit.value, guest.cpl());
    case VmExit::Reason::hypercall: return on_hypercall(guest);
    case VmExit::Reason::invd: // keep the host's dirty cache lines
        x86::wbinvd();
        return Outcome::advance;
    case VmExit::Reason::port: return emulate_sleep_port(guest.vcpu, exit.access, guest.registers);
    case VmExit::Reason::hidden_instruction: return Outcome::undefined_opcode;
    case VmExit::Reason::nmi_window: on_nmi_window(guest); return Outcome::retry;
    case VmExit::Reason::triple_fault: on_triple_fault(guest);
    case VmExit::Reason::nested_paging:
        // A CPU of the width that CPUID shows raises an exception, too, but #PF.
        if (!guest_memory::reaches(exit.address))
            return Outcome::general_protection;
        crash_on_exit("nested paging does not allow this access", guest.registers);
    default: crash_on_exit("unexpected VM exit", guest.registers);
    }
}

} // namespace zpp
