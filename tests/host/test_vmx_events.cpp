// Faults that the core injects, events that an exit has interrupted, and MOV to CR that the guest
// runs again.
#include "emulate/handle.hpp"
#include "fake_core.hpp"
#include "fake_vmcs.hpp"
#include "vmx/cr_retry.hpp"
#include "vmx/delivery.hpp"
#include "vmx/guest_state.hpp"
#include "vmx/shared.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

using namespace vmx;

constexpr u64 valid = bit(31), rf = bit(16), mtf = bit(27);

struct Machine {
    FakeVmcs vmcs;
    GuestRegisters registers{};
    Guest guest{vmcs.block.vcpu(), registers};

    Machine() { vmcs.launch(FakeVmcs::uefi()); }

    u64 injected() { return vmcs[Field32::entry_interruption_information]; }
};

TEST_CASE("a fault pushes RF, and an error code in protected mode only")
{
    Machine machine;
    inject_fault(machine.guest, 13);
    CHECK(machine.injected() == 0x80000b0d);
    CHECK(machine.vmcs[Field32::entry_exception_error_code] == 0);
    CHECK(machine.vmcs[FieldNatural::guest_rflags] == (0x202 | rf));
    write_init_state(machine.registers);
    write_sipi_state(0x9f);
    inject_fault(machine.guest, 13);
    CHECK(machine.injected() == 0x8000030d);
    CHECK(machine.vmcs[FieldNatural::guest_rflags] == 2);
}

TEST_CASE("an event whose delivery an exit interrupted is delivered again")
{
    struct {
        u64 vectoring, error_code, expected;
        bool length;
    } const cases[] = {
        {valid | 0x30, 0, valid | 0x30, false},           // interrupt
        {valid | 0x30 | bit(12), 0, valid | 0x30, false}, // an undefined bit
        {valid | 0xb0e, 7, valid | 0xb0e, false},         // #PF
        {valid | 0x306, 0, valid | 0x306, false},         // #UD
        {valid | 0x480, 0, valid | 0x480, true},          // INT 80h
        {valid | 0x603, 0, valid | 0x603, true},          // INT3
        {valid | 0x501, 0, valid | 0x501, true},          // INT1
        {valid | 0x202, 0, valid | 0x202, false},         // NMI
        {0x30, 0, 0, false},
    };
    for (const auto& c : cases) {
        CAPTURE(c.vectoring);
        Machine machine;
        machine.vmcs[Field32::idt_vectoring_information] = c.vectoring;
        machine.vmcs[Field32::idt_vectoring_error_code] = c.error_code;
        machine.vmcs[Field32::exit_instruction_length] = 2;
        machine.vmcs[Field32::guest_interruptibility] = 8; // as after an NMI
        resume_delivery(machine.guest);
        CHECK(machine.injected() == c.expected);
        CHECK(machine.vmcs[Field32::entry_exception_error_code] == c.error_code);
        CHECK(machine.vmcs[Field32::entry_instruction_length] == (c.length ? 2 : 0));
        CHECK(machine.vmcs[FieldNatural::guest_rflags] == 0x202);
        CHECK(machine.vmcs.broken_rule() == "");
    }
}

TEST_CASE("an exception of the handler meets the interrupted event")
{
    struct {
        u64 vectoring;
        u8 vector;
        u64 expected;
    } const cases[] = {
        {valid | 0x30, 13, valid | 0xb0d},  {valid | 0xb0e, 13, valid | 0xb08},
        {valid | 0xb0d, 13, valid | 0xb08}, {valid | 0x300, 13, valid | 0xb08},
        {valid | 0xb0d, 6, valid | 0x306},  {valid | 0x306, 13, valid | 0xb0d},
    };
    for (const auto& c : cases) {
        CAPTURE(c.vectoring);
        Machine machine;
        machine.vmcs[Field32::idt_vectoring_information] = c.vectoring;
        inject_fault(machine.guest, c.vector);
        resume_delivery(machine.guest);
        CHECK(machine.injected() == c.expected);
    }
    Machine machine;
    machine.vmcs[Field32::idt_vectoring_information] = valid | 0xb08;
    inject_fault(machine.guest, 13);
    CHECK_THROWS_AS(resume_delivery(machine.guest), Crash);
}

TEST_CASE("an IRET that starts again blocks NMIs again")
{
    Machine machine;
    machine.vmcs[FieldNatural::exit_qualification] = bit(12) | 2;
    resume_delivery(machine.guest);
    CHECK(machine.vmcs[Field32::guest_interruptibility] == 8);
    machine.vmcs[Field32::guest_interruptibility] = 0;
    machine.vmcs[FieldNatural::exit_qualification] = 2;
    resume_delivery(machine.guest);
    CHECK(machine.vmcs[Field32::guest_interruptibility] == 0);
}

VmExit access(Machine& machine, u64 qualification)
{
    machine.vmcs[FieldNatural::exit_qualification] = qualification;
    VmExit exit{.reason = VmExit::Reason::mov_to_cr, .code = 28};
    exit.instruction_length = 3;
    decode_cr_access(machine.guest, exit);
    return exit;
}

TEST_CASE("control-register exits: MOV, CLTS and LMSW")
{
    Machine machine;
    machine.registers.rsi = 0xffffffff80000031;
    VmExit exit = access(machine, 6 << 8 | 4);
    CHECK(exit.index == 4);
    CHECK(exit.value == 0xffffffff80000031);
    machine.vmcs[Field32::guest_cs_rights] = 0xc09b;
    CHECK(access(machine, 6 << 8).value == 0x80000031);
    machine.vmcs[FieldNatural::guest_cr0] = 0x8001003b;
    machine.vmcs[FieldNatural::cr0_shadow] = 0x8001003b;
    exit = access(machine, 2 << 4);
    CHECK(exit.index == 0);
    CHECK(exit.value == 0x80010033);
    CHECK(access(machine, 3 << 4 | 0xfff6u << 16).value == 0x80010037); // PE stays
    CHECK(access(machine, 1 << 4 | 3).reason == VmExit::Reason::unexpected);
}

TEST_CASE("MOV to CR0: the shadow keeps the value only if the CPU takes it")
{
    constexpr u64 old = 0x80010033, next = 0x7fd0123 + 3;
    Machine machine;
    const VmExit exit = access(machine, 0); // from RAX: NE and PG cleared, in 64-bit mode
    machine.registers.rax = 0x10013;
    const auto retry = [&] {
        VmExit now = exit;
        now.value = machine.registers.rax;
        return retry_mov_to_cr(machine.guest, now);
    };
    u64& shadow = machine.vmcs[FieldNatural::cr0_shadow];
    u64& controls = machine.vmcs[Field32::primary_controls];
    u64& rip = machine.vmcs[FieldNatural::guest_rip];

    CHECK(retry() == Outcome::retry);
    CHECK(shadow == 0x10013);
    CHECK((controls & mtf) != 0);
    CHECK(machine.vmcs[Field32::exception_bitmap] == bit(13));
    CHECK((machine.vmcs[FieldNatural::guest_rflags] & rf) != 0);
    CHECK(machine.vmcs.broken_rule() == "");
    SUBCASE("it takes it")
    {
        rip = next;
        settle_cr_retry(machine.guest);
        CHECK(shadow == 0x10013);
    }
    SUBCASE("it faults")
    {
        machine.vmcs[Field32::exit_interruption_information] = valid | 0xb0d | bit(12);
        settle_cr_retry(machine.guest);
        reflect_exception(machine.guest);
        CHECK(shadow == old);
        CHECK(machine.injected() == (valid | 0xb0d));
        CHECK(machine.vmcs.broken_rule() == "");
    }
    SUBCASE("an interrupt comes before it: RIP is in its handler")
    {
        rip = 0x9000;
        settle_cr_retry(machine.guest);
        CHECK(shadow == old);
    }
    SUBCASE("without the monitor trap flag")
    {
        shared.capabilities.monitor_trap_flag = false;
        SUBCASE("it faults") { settle_cr_retry(machine.guest); }
        SUBCASE("it takes it")
        {
            rip = 0x9000;
            settle_cr_retry(machine.guest);
        }
        CHECK(shadow == (rip == 0x9000 ? 0x10013 : old));
        controls &= ~mtf;
    }
    SUBCASE("an exit comes before it")
    {
        settle_cr_retry(machine.guest);
        CHECK(shadow == old);
    }
    SUBCASE("an NMI comes before it")
    {
        take_nmi(machine.vmcs.block.vcpu()); // in the host
        settle_cr_retry(machine.guest);
        CHECK(shadow == old);
        CHECK((controls & bit(22)) != 0);
    }
    CHECK((controls & mtf) == 0);
    CHECK(machine.vmcs[Field32::exception_bitmap] == 0);
    const u64 now = shadow;
    rip = 0x9000;
    settle_cr_retry(machine.guest); // once
    CHECK(shadow == now);
}

TEST_CASE("MOV to CR4 is watched too, and what the core refuses is not")
{
    Machine machine;
    VmExit exit = access(machine, 4);
    exit.value = bit(13); // VMXE
    CHECK(retry_mov_to_cr(machine.guest, exit) == Outcome::general_protection);
    CHECK((machine.vmcs[Field32::primary_controls] & mtf) == 0);
    exit.value = 0x20;
    CHECK(retry_mov_to_cr(machine.guest, exit) == Outcome::retry);
    CHECK(machine.vmcs[FieldNatural::cr4_shadow] == 0x20);
    machine.vmcs[FieldNatural::guest_rip] = 0x9000;
    settle_cr_retry(machine.guest);
    CHECK(machine.vmcs[FieldNatural::cr4_shadow] == 0x668);
}

} // namespace
} // namespace zpp::test
