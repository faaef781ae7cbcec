// svm/step: the guest executes a store to the xAPIC's page by itself, with the page open for it alone
// (AMD APM Vol. 2, 13.1 and 15.25). The CPU's side is played by the test.
#include "apic/access.hpp"
#include "fake_apic.hpp"
#include "fake_core.hpp"
#include "fake_cpu.hpp"
#include "fake_registers.hpp"
#include "svm/events.hpp"
#include "svm/exit_code.hpp"
#include "svm/shared.hpp"
#include "svm/step.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

using namespace svm;

constexpr u64 TF = 1 << 8, IF = 1 << 9, RF = 1 << 16, CF = 1;
constexpr u64 dr6_default = 0xffff0ff0, BS = 1 << 14;
constexpr u64 nmi_event = 0x80000202, db_event = 0x80000301, pf_event = 0x80000b0e;
constexpr u64 closed = 0x1000, open = 0x2000, rip = 0x500;
constexpr u32 lvt = 0x370, debug_control = 0x1d9;
constexpr u64 btf = 2;

struct Cpu {
    FakeApic apic;
    FakeRegisters registers;
    CpuBlock block;
    GuestRegisters general{};
    Vcpu& vcpu = block.vcpu();
    Vmcb& vmcb = vmcb_of(vcpu);
    Guest guest{vcpu, vmcb, general};

    explicit Cpu(u64 rflags = 2)
    {
        shared.nested_cr3 = {closed};
        shared.open_nested_cr3 = {open};
        registers.msrs = {{0x1b, 0xfee00900}, {debug_control, 0}};
        vmcb.rflags = x86::Rflags{rflags};
        vmcb.dr6 = x86::Dr6{dr6_default};
        vmcb.dr7 = 0x400;
        vmcb.rip = rip;
        vmcb.cr0 = x86::Cr0::pe;
        vmcb.nested_cr3 = closed;
        vmcb.intercept_exceptions = 1u << 13;
    }
    ~Cpu() { shared.virtual_nmi = false; }

    void begin_exit(ExitCode code)
    {
        vmcb.exit_code = static_cast<u64>(code);
        vmcb.event_injection = 0;
        vmcb.tlb_control = 0;
        vmcb.clean = Clean::all;
    }

    // The exit of the store.
    Outcome store(u32 offset = lvt)
    {
        begin_exit(ExitCode::nested_page_fault);
        const Outcome outcome = step_over_store(guest, apic_access::page() + offset);
        deliver_events(guest);
        return outcome;
    }

    // That of an exception; returns what is injected.
    u64 exception(u8 vector)
    {
        begin_exit(ExitCode{static_cast<u64>(ExitCode::exception_0) + vector});
        guest.close_nmi_window();
        deliver_events(guest);
        return vmcb.event_injection;
    }

    // The store has run; `rflags` are those of the VMCB then.
    u64 run(u64 rflags, u64 dr6 = dr6_default | BS)
    {
        vmcb.rip = rip + 3;
        vmcb.rflags = x86::Rflags{rflags};
        vmcb.dr6 = x86::Dr6{dr6};
        return exception(1);
    }

    void check_closed()
    {
        CHECK(vmcb.nested_cr3 == closed);
        CHECK(vmcb.tlb_control == tlb_flush_all);
        CHECK_FALSE(has(vmcb.clean, Clean::np));
        CHECK_FALSE(has(vmcb.clean, Clean::intercepts));
        CHECK(vmcb.intercept_exceptions == 1u << 13);
    }
};

TEST_CASE("step: the page is open while the store runs")
{
    for (const u64 flags : {u64{2}, 2 | IF}) {
        Cpu cpu(flags);
        cpu.vmcb.interrupt_state = interrupt_shadow;
        CHECK(cpu.store() == Outcome::retry);
        CHECK(cpu.vmcb.nested_cr3 == open);
        CHECK(cpu.vmcb.tlb_control == tlb_flush_all);
        CHECK_FALSE(has(cpu.vmcb.clean, Clean::np));
        CHECK(raw(cpu.vmcb.rflags) == (2 | TF | RF)); // no interrupt saves TF on a stack
        CHECK(cpu.vmcb.interrupt_state == 0);
        CHECK(cpu.vmcb.intercept_exceptions == ~(1u << 2 | 1u << 9));

        CHECK(cpu.run(2 | TF | CF) == 0); // SHRD has set a flag
        CHECK(raw(cpu.vmcb.rflags) == (flags | CF));
        CHECK(raw(cpu.vmcb.dr6) == dr6_default);
        cpu.check_closed();
        CHECK(cpu.registers.done.empty());
    }
}

TEST_CASE("step: not for the command register, nor while an event is delivered")
{
    for (const u32 offset : {0x300u, 0x304u, 0x30fu}) {
        Cpu cpu;
        CHECK(cpu.store(offset) == Outcome::general_protection);
        CHECK(cpu.vmcb.nested_cr3 == closed);
        CHECK(raw(cpu.vmcb.rflags) == 2);
    }
    for (const u32 offset : {0x2f0u, 0x310u}) {
        Cpu cpu;
        CHECK(cpu.store(offset) == Outcome::retry);
        CHECK(cpu.vmcb.nested_cr3 == open);
    }
    Cpu cpu;
    cpu.vmcb.exit_interrupt_info = 0x80000020;
    CHECK(cpu.store() == Outcome::general_protection);
    CHECK(cpu.vmcb.nested_cr3 == closed);
}

TEST_CASE("step: the store faults")
{
    Cpu cpu(2 | IF);
    (void)cpu.store();
    cpu.vmcb.exit_info_1 = 2;
    cpu.vmcb.exit_info_2 = 0x7000;
    CHECK(cpu.exception(14) == (pf_event | u64{2} << 32));
    CHECK(cpu.vmcb.cr2 == 0x7000);
    CHECK(cpu.vmcb.rip == rip);
    CHECK(raw(cpu.vmcb.rflags) == (2 | IF | RF));
    CHECK(raw(cpu.vmcb.dr6) == dr6_default);
    cpu.check_closed();
}

TEST_CASE("step: the guest steps, by instructions or by branches, or watches the page")
{
    Cpu stepping(2 | TF);
    (void)stepping.store();
    CHECK(stepping.run(2 | TF) == db_event);
    CHECK(raw(stepping.vmcb.rflags) == (2 | TF));
    CHECK(raw(stepping.vmcb.dr6) == (dr6_default | BS));

    Cpu branches(2 | TF);
    branches.registers.msrs[debug_control] = btf | 1;
    (void)branches.store();
    CHECK(branches.registers.msrs[debug_control] == 1);
    CHECK(branches.run(2 | TF) == 0);
    CHECK(branches.registers.msrs[debug_control] == (btf | 1));
    CHECK(raw(branches.vmcb.rflags) == (2 | TF));

    Cpu watching;
    watching.vmcb.dr7 = 0x401;
    (void)watching.store();
    CHECK(watching.run(2 | TF, dr6_default | BS | 1) == db_event);
    CHECK(raw(watching.vmcb.dr6) == (dr6_default | 1));
}

TEST_CASE("step: an NMI waits until the store has run")
{
    for (const bool virtual_nmi : {false, true}) {
        Cpu cpu;
        shared.virtual_nmi = virtual_nmi;
        (void)cpu.store();
        cpu.begin_exit(ExitCode::nmi);
        cpu.vcpu.nmi_pending = true;
        deliver_events(cpu.guest);
        CHECK(cpu.vmcb.event_injection == 0);
        CHECK(cpu.vcpu.nmi_pending);
        CHECK(FakeApic::take_sent().empty());
        CHECK(cpu.vmcb.nested_cr3 == open);
        CHECK(cpu.run(2 | TF) == (virtual_nmi ? 0 : nmi_event));
        CHECK(has(cpu.vmcb.virtual_interrupt, VirtualInterrupt::v_nmi_pending) == virtual_nmi);
        CHECK_FALSE(cpu.vcpu.nmi_pending);
    }
}

TEST_CASE("step: a virtual NMI that the CPU takes comes first")
{
    constexpr auto pending = VirtualInterrupt::v_nmi_pending, mask = VirtualInterrupt::v_nmi_mask;
    Cpu cpu;
    cpu.vmcb.virtual_interrupt = pending;
    cpu.vmcb.interrupt_state = interrupt_shadow;
    CHECK(cpu.store() == Outcome::retry);
    CHECK(cpu.vmcb.nested_cr3 == closed);
    CHECK(raw(cpu.vmcb.rflags) == 2);
    CHECK(cpu.vmcb.interrupt_state == 0); // it would hold the NMI back for ever
    cpu.vmcb.virtual_interrupt = pending | mask;
    CHECK(cpu.store() == Outcome::retry);
    CHECK(cpu.vmcb.nested_cr3 == open);
}

TEST_CASE("step: cancelled, and by INIT")
{
    for (const bool init : {false, true}) {
        Cpu cpu(2 | IF);
        (void)cpu.store();
        cpu.begin_exit(ExitCode::nested_page_fault);
        if (init)
            forget_events(cpu.guest);
        else
            cancel_step(cpu.guest);
        CHECK(raw(cpu.vmcb.rflags) == (2 | IF));
        CHECK(raw(cpu.vmcb.dr6) == dr6_default);
        cpu.check_closed();
    }
}

} // namespace
} // namespace zpp::test
