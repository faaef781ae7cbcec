// The interface of the shared handlers to the guest. Each vendor implements it over its control
// block; the handlers are templates, so calls are resolved at compile time. The vendors' classes
// assert the concept: a constraint on the templates would be in their mangled names, which gdb
// cannot demangle.
#pragma once
#include "core/vcpu.hpp"
#include "emulate/msr.hpp"
#include "guest/decode.hpp"
#include "x86/event.hpp"
#include "x86/msr.hpp"
#include <concepts>

namespace zpp {

template <class G>
concept GuestState = requires(G& guest, const G& seen, u64 value, x86::Event event) {
    { seen.vcpu } -> std::convertible_to<Vcpu&>;
    { seen.registers } -> std::convertible_to<GuestRegisters&>;
    { seen.rip() } -> std::same_as<u64>;
    { seen.rflags() } -> std::same_as<x86::Rflags>;
    { seen.cr0() } -> std::same_as<x86::Cr0>; // as the guest sees it, and so is CR4
    { seen.cr4() } -> std::same_as<x86::Cr4>;
    { seen.cpuid_shows_syscall() } -> std::same_as<bool>;
    { seen.cpl() } -> std::same_as<unsigned>;
    { seen.code_size() } -> std::same_as<CodeSize>;
    { seen.debug_control() } -> std::same_as<x86::DebugCtl>;
    { G::msr_handlers() } -> std::same_as<MsrHandlers>;
    guest.set_rip(value);
    guest.set_rflags(x86::Rflags{});
    guest.end_interrupt_shadow(); // after STI and MOV SS
    guest.pend_single_step();     // #DB before the next instruction
    guest.inject(event);          // at the next VM entry

    // Machine checks.
    { seen.injects_event() } -> std::same_as<bool>; // the next VM entry does
    guest.exit_at_once();                           // after that VM entry
    guest.inject_machine_check();

    // NMIs.
    { seen.takes_nmi() } -> std::same_as<bool>;
    guest.open_nmi_window(); // exit as soon as the guest takes NMIs
    guest.close_nmi_window();
    guest.inject_nmi();

    guest.devirtualize(*guest.vcpu.call); // does not return
};

} // namespace zpp
