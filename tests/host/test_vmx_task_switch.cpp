// vmx/task_switch: the exit, the VMCS before and after, and what VM entry must accept (SDM Vol. 3C,
// 26.4.2).
#include "fake_core.hpp"
#include "fake_vmcs.hpp"
#include "fake_windows.hpp"
#include "vmx/task_switch.hpp"
#include "x86/task_state_segment.hpp"
#include <cstring>
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

using namespace vmx;
using x86::Tss32;

constexpr u64 valid = bit(31), rf = bit(16), nt = bit(14);
constexpr u32 gdt = 0x1000, old_tss = 0x2000, new_tss = 0x3000, stack = 0x5000;
constexpr u32 eip = 0x1234, new_eip = 0x8000, length = 7;
constexpr u64 call = 0, iret = 1ul << 30, jump = 2ul << 30, gate = 3ul << 30;
constexpr u16 code = 0x08, data = 0x10, old_task = 0x18, new_task = 0x20, absent = 0x28;

struct Machine {
    FakeVmcs vmcs;
    FakeWindows windows;
    GuestRegisters registers{};
    Guest guest{windows.vcpu(), registers};

    Machine()
    {
        vmcs.launch(FakeVmcs::uefi());
        vmcs.protected_mode();
        vmcs[FieldNatural::guest_cr0] = 0x21;
        vmcs[FieldNatural::cr0_shadow] = 1;
        vmcs[FieldNatural::guest_rip] = eip;
        vmcs[FieldNatural::guest_gdtr_base] = gdt;
        vmcs[Field32::guest_gdtr_limit] = 0xff;
        vmcs[FieldNatural::guest_dr7] = 0x7ff;
        vmcs[Field16::guest_tr] = old_task;
        vmcs[FieldNatural::guest_tr_base] = old_tss;
        vmcs[Field32::guest_tr_limit] = 103;
        vmcs[Field32::exit_instruction_length] = length;
        const u64 descriptors[] = {0,
                                   0x00cf9b000000ffff,
                                   0x00cf93000000ffff,
                                   0x00008b0020000067,
                                   0x0000890030000067,
                                   0x00cf13000000ffff};
        std::memcpy(windows.page(1), descriptors, sizeof descriptors);
        Tss32& tss = task(new_tss);
        tss.eip = new_eip;
        tss.eflags = 2;
        tss.general[4] = stack;
        const u32 selectors[6] = {data, code, data, data, 0, 0};
        std::memcpy(tss.segments, selectors, sizeof selectors);
    }

    Tss32& task(u32 address)
    {
        return *reinterpret_cast<Tss32*>(windows.page(address / page_size));
    }
    u64 injected() { return vmcs[Field32::entry_interruption_information]; }

    void exit(u64 source, u64 vectoring = 0)
    {
        vmcs[FieldNatural::exit_qualification] = source | new_task;
        vmcs[Field32::idt_vectoring_information] = vectoring;
        on_task_switch(guest);
        CHECK(vmcs.broken_rule() == "");
    }
};

TEST_CASE("VT-x task switch: the four sources")
{
    struct {
        u64 source, vectoring;
        u32 saved;
    } const cases[] = {
        {call, 0, eip + length},
        {iret, 0, eip + length},
        {jump, 0, eip + length},
        {gate, valid | 0x306, eip},          // #UD
        {gate, valid | 0x30, eip},           // interrupt
        {gate, valid | 0x420, eip + length}, // INT 20h
        {gate, valid | 0x603, eip + length}, // INT3
    };
    for (const auto& c : cases) {
        CAPTURE(c.source);
        CAPTURE(c.vectoring);
        Machine machine;
        machine.registers.rbx = 0xffffffff00000001;
        machine.vmcs[FieldNatural::guest_rsp] = 0x4000;
        machine.vmcs[Field32::guest_interruptibility] = 1;
        machine.exit(c.source, c.vectoring);
        CHECK(machine.task(old_tss).eip == c.saved);
        CHECK(machine.task(old_tss).general[3] == 1);
        CHECK(machine.task(old_tss).general[4] == 0x4000);
        CHECK(machine.vmcs[FieldNatural::guest_rip] == new_eip);
        CHECK(machine.vmcs[FieldNatural::guest_rsp] == stack);
        CHECK(machine.vmcs[FieldNatural::guest_rflags] ==
              (c.source == call || c.source == gate ? 2 | nt : 2));
        CHECK(machine.vmcs[FieldNatural::guest_cr0] == 0x29); // TS
        CHECK((machine.vmcs[FieldNatural::cr0_shadow] & 8) != 0);
        CHECK(machine.vmcs[FieldNatural::guest_dr7] == (0x7ff & ~0x155));
        CHECK(machine.vmcs[Field32::guest_interruptibility] == 0);
        CHECK(machine.vmcs[Field16::guest_tr] == new_task);
        CHECK(machine.injected() == 0);
    }
}

TEST_CASE("VT-x task switch: an NMI's task blocks NMIs until its IRET")
{
    Machine machine;
    machine.exit(gate, valid | 0x202);
    CHECK(machine.vmcs[Field32::guest_interruptibility] == 8);
    machine.exit(iret);
    CHECK(machine.vmcs[Field32::guest_interruptibility] == 0);
}

TEST_CASE("VT-x task switch: the error code of the event is pushed")
{
    Machine machine;
    machine.vmcs[Field32::idt_vectoring_error_code] = 0x18;
    machine.exit(gate, valid | 0xb0d);
    CHECK(machine.vmcs[FieldNatural::guest_rsp] == stack - 4);
    CHECK(*reinterpret_cast<u32*>(machine.windows.page(0) + stack - 4) == 0x18);
}

TEST_CASE("VT-x task switch: a fault of the new task, alone or with the event")
{
    struct {
        u64 source, vectoring, injected;
        u32 error_code;
    } const cases[] = {
        {call, 0, valid | 0xb0b, absent},
        {gate, valid | 0x420, valid | 0xb0b, absent},
        {gate, valid | 0x30, valid | 0xb0b, absent | 1},
        {gate, valid | 0x306, valid | 0xb0b, absent | 1},
        {gate, valid | 0xb0d, valid | 0xb08, 0},
    };
    for (const auto& c : cases) {
        CAPTURE(c.vectoring);
        Machine machine;
        machine.task(new_tss).segments[3] = absent;
        machine.exit(c.source, c.vectoring);
        CHECK(machine.injected() == c.injected);
        CHECK(machine.vmcs[Field32::entry_exception_error_code] == c.error_code);
        CHECK(machine.vmcs[FieldNatural::guest_rip] == new_eip);
        CHECK(((machine.vmcs[FieldNatural::guest_rflags] & rf) != 0) ==
              (c.injected == (valid | 0xb0b)));
    }
    Machine machine;
    machine.task(new_tss).segments[3] = absent;
    CHECK_THROWS_AS(machine.exit(gate, valid | 0xb08), Crash);
}

TEST_CASE("VT-x task switch: a fault before CS is loaded leaves a state that VM entry accepts")
{
    for (const u32 cs : {0u, u32{data}, u32{absent}, 0x1000u, u32{code} | 3}) {
        CAPTURE(cs);
        Machine machine;
        machine.task(new_tss).segments[1] = cs;
        machine.exit(call);
        CHECK((machine.injected() & valid) != 0);
    }
    Machine machine;
    machine.task(new_tss).ldt = data;
    machine.exit(call);
    CHECK(machine.injected() == (valid | 0xb0a));
}

TEST_CASE("VT-x task switch: a page fault in the old task, with CR2")
{
    Machine machine;
    machine.vmcs[FieldNatural::guest_cr0] |= bit(31);
    machine.vmcs[FieldNatural::guest_cr4] &= ~u64{0x20}; // PAE
    machine.vmcs[FieldNatural::guest_cr3] = 8 * page_size;
    u32* const table = reinterpret_cast<u32*>(machine.windows.page(9));
    for (u32 i = 0; i < FakeWindows::pages; ++i)
        table[i] = i << 12 | 3;
    table[new_tss >> 12] = 0;
    *reinterpret_cast<u32*>(machine.windows.page(8)) = 9 << 12 | 3;
    machine.exit(jump);
    CHECK(machine.injected() == (valid | 0xb0e));
    CHECK(machine.vmcs[Field32::entry_exception_error_code] == 0);
    CHECK(machine.vmcs.cpu.control.at(2) == new_tss);
    CHECK(machine.vmcs[FieldNatural::guest_rip] == eip);
    CHECK(machine.vmcs[Field16::guest_tr] == old_task);
    // With the page there, and another CR3: the translations of the old one are flushed.
    table[new_tss >> 12] = new_tss | 3;
    std::memcpy(machine.windows.page(10), machine.windows.page(8), page_size);
    machine.task(new_tss).cr3 = 10 * page_size;
    const unsigned before = machine.vmcs.flushes;
    machine.vmcs[Field32::entry_interruption_information] = 0;
    machine.exit(jump);
    CHECK(machine.injected() == 0);
    CHECK(machine.vmcs[FieldNatural::guest_cr3] == 10 * page_size);
    CHECK(machine.vmcs.flushes == before + 1);
}

TEST_CASE("VT-x task switch: the T flag is a #DB with DR6.BT")
{
    Machine machine;
    machine.task(new_tss).trap = 1;
    machine.exit(call);
    CHECK(machine.injected() == (valid | 0x301));
    CHECK((machine.vmcs.cpu.debug.at(6) & bit(15)) != 0);
    CHECK((machine.vmcs[FieldNatural::guest_rflags] & rf) == 0);
}

} // namespace
} // namespace zpp::test
