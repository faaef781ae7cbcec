// svm/cr0: MOV to CR0 on a CPU that takes NW without CD (AMD APM Vol. 2, 3.1.1, 14.6, 14.7, 15.5.1
// and 15.9).
#include "fake_registers.hpp"
#include "fake_windows.hpp"
#include "svm/cr0.hpp"
#include "svm/shared.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <initializer_list>
#include <memory>

namespace zpp::test {
namespace {

using namespace svm;
using x86::Cr0;
using x86::Cr4;
using x86::Efer;

constexpr u64 PE = 1, ET = 1 << 4, WP = 1 << 16, NW = 1 << 29, CD = 1 << 30, PG = u64{1} << 31;
constexpr u16 code_64 = 0xa9b, code_32 = 0xc9b;
constexpr unsigned code_page = 6;

// A guest without paging at MOV CR0, RAX.
struct Machine {
    FakeWindows windows;
    std::unique_ptr<Vmcb> control_block = std::make_unique<Vmcb>();
    Vmcb& vmcb = *control_block;
    GuestRegisters registers{};
    Guest guest{windows.vcpu(), vmcb, registers};

    explicit Machine(std::initializer_list<u8> code = {0x0f, 0x22, 0xc0})
    {
        std::memcpy(windows.page(code_page), std::data(code), code.size());
        vmcb.rip = code_page * page_size;
        vmcb.cr0 = Cr0{PE | ET};
        vmcb.cs.attributes = code_32;
        watch_cr0(vmcb);
        vmcb.clean = Clean::all;
        vmcb.tlb_control = 0;
    }
    // The page tables of long mode, for the code.
    void map()
    {
        for (unsigned table = 1; table < 4; ++table)
            windows.entry(table, 0) = (table + 1) * page_size | 1;
        windows.entry(4, code_page) = code_page * page_size | 1;
        vmcb.cr3 = page_size;
    }
    Outcome write(u64 value)
    {
        registers.rax = value;
        exit.instruction_length = 0;
        return on_cr0_write(guest, exit);
    }
    VmExit exit{.reason = VmExit::Reason::mov_to_cr, .code = 0x65};
};

TEST_CASE("CR0 under AMD-V: MOV to CR0 writes what a CPU takes, and no more")
{
    struct {
        u64 value;
        bool valid;
    } const cases[] = {
        {PE | WP, true},  {PE | NW | CD, true}, {PE | CD, true}, {0, true},
        {PE | NW, false}, {NW, false},          {PG, false},     {PE | PG | NW, false},
    };
    for (const auto& c : cases) {
        CAPTURE(c.value);
        Machine machine;
        CHECK((machine.write(c.value) == Outcome::advance) == c.valid);
        CHECK(raw(machine.vmcb.cr0) == (c.valid ? c.value | ET : PE | ET));
        if (!c.valid)
            continue;
        CHECK(machine.exit.instruction_length == 3);
        CHECK_FALSE(has(machine.vmcb.clean, Clean::crx));
        CHECK(machine.vmcb.tlb_control == tlb_flush_all);
    }
    Machine machine;
    CHECK(machine.write(u64{1} << 40 | PE) == Outcome::advance); // 32 bits of it
    CHECK(raw(machine.vmcb.cr0) == (PE | ET));
}

TEST_CASE("CR0 under AMD-V: MOV to CR0 starts and ends long mode")
{
    struct {
        u64 before, after;
        Efer efer;
        Cr4 cr4;
        u16 code;
        bool valid, lma;
    } const cases[] = {
        {PE, PE | PG, {}, {}, code_32, true, false},
        {PE, PE | PG, Efer::lme, Cr4::pae, code_32, true, true},
        {PE, PE | PG, Efer::lme, {}, code_32, false, false},
        {PE, PE | PG, Efer::lme, Cr4::pae, code_64, false, false},
    };
    for (const auto& c : cases) {
        Machine machine;
        machine.vmcb.cr0 = Cr0{c.before | ET};
        machine.vmcb.efer = c.efer | Efer::svme;
        machine.vmcb.cr4 = c.cr4;
        machine.vmcb.cs.attributes = c.code;
        CHECK((machine.write(c.after) == Outcome::advance) == c.valid);
        CHECK(has(machine.vmcb.efer, Efer::lma) == c.lma);
        CHECK(has(machine.vmcb.efer, Efer::svme));
    }
    for (const u16 code : {code_32, code_64})
        for (const Cr4 more : {Cr4{}, Cr4::pcide}) {
            Machine machine;
            machine.map();
            machine.vmcb.cr0 = Cr0{PG | PE | ET};
            machine.vmcb.efer = Efer::lme | Efer::lma;
            machine.vmcb.cr4 = Cr4::pae | more;
            machine.vmcb.cs.attributes = code;
            const bool valid = code == code_32 && more == Cr4{};
            CHECK((machine.write(PE) == Outcome::advance) == valid);
            CHECK(has(machine.vmcb.efer, Efer::lma) == !valid);
            // Other bits change without these rules, but all 64 count in 64-bit mode.
            CHECK(machine.write(raw(machine.vmcb.cr0) | WP) == Outcome::advance);
            if (code == code_64)
                CHECK(machine.write(PG | PE | u64{1} << 40) == Outcome::general_protection);
        }
}

TEST_CASE("CR0 under AMD-V: LMSW runs, and the next exit watches again")
{
    Machine machine{0x0f, 0x01, 0xf0};
    CHECK(machine.write(PE) == Outcome::retry);
    CHECK_FALSE(has(machine.vmcb.intercept_vector_3, InterceptVector3::cr0_selective_write));
    CHECK_FALSE(has(machine.vmcb.clean, Clean::intercepts));
    machine.vmcb.clean = Clean::all;
    watch_cr0(machine.vmcb);
    CHECK(has(machine.vmcb.intercept_vector_3, InterceptVector3::cr0_selective_write));
    CHECK_FALSE(has(machine.vmcb.clean, Clean::intercepts));
}

TEST_CASE("CR0 under AMD-V: a CPU that takes NW without CD is found, and gets its CR0 back")
{
    FakeRegisters cpu;
    cpu.control = {{0, PG | PE | WP}};
    CHECK_FALSE(cpu_checks_cr0());
    CHECK(cpu.written_to_control == std::vector<u64>{PG | PE | WP | NW, PG | PE | WP});
}

} // namespace
} // namespace zpp::test
