// svm/guest_state: the VMCB at the launch, after INIT and after SIPI (AMD APM Vol. 2, 14.1.3 and
// App. B; SDM Vol. 3A, table 10-1).
#include "fake_registers.hpp"
#include "svm/guest_state.hpp"
#include "x86/instructions.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <memory>
#include <string>

namespace zpp::test {
namespace {

using namespace svm;

constexpr u32 pat_msr = 0x277, debug_control_msr = 0x1d9;
constexpr u32 s_cet_msr = 0x6a2, interrupt_ssp_table_msr = 0x6a8;
constexpr u64 SVME = 1u << 12, LME = 1u << 8, LMA = 1u << 10;

// A CPU that an OS has used.
void fill(FakeRegisters& cpu)
{
    cpu.msrs = {{pat_msr, 0x0007050600070106},
                {debug_control_msr, 1},
                {s_cet_msr, 4},
                {interrupt_ssp_table_msr, 0xffff'8880'0000'1000}};
    cpu.control = {{2, 0x1234'5678'9abc}};
    cpu.debug = {{0, 0x1000}, {1, 0x2000}, {2, 0x3000}, {3, 0x4000}, {6, 0xffff4ff0}, {7, 0x401}};
}

zpp_segment segment(u16 selector, u32 access_rights, u32 limit = 0xffffffff, u64 base = 0)
{
    zpp_segment s{};
    s.selector = selector;
    s.access_rights = access_rights;
    s.limit = limit;
    s.base = base;
    return s;
}

void check_segment(const Segment& s, u16 selector, u16 attributes, u32 limit, u64 base)
{
    CHECK(s.selector == selector);
    CHECK(s.attributes == attributes);
    CHECK(s.limit == limit);
    CHECK(s.base == base);
}

TEST_CASE("VMCB: access rights are packed into 12 bits")
{
    struct {
        const char* name;
        u32 rights;
        u16 attributes;
    } const cases[] = {
        {"64-bit code", 0xa09b, 0xa9b},
        {"32-bit code", 0xc09b, 0xc9b},
        {"16-bit code", 0x009b, 0x09b},
        {"flat data", 0xc093, 0xc93},
        {"data of CPL 3", 0xc0f3, 0xcf3},
        {"expand-down, available for the system", 0x5097, 0x597},
        {"all bits", 0xf0ff, 0xfff},
        {"unusable", 0x10000, 0},
        {"unusable, with something left in it", 0x1c093, 0},
    };
    FakeRegisters cpu;
    fill(cpu);
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        const auto vmcb = std::make_unique<Vmcb>();
        zpp_cpu_state os{};
        os.es = os.cs = os.ss = os.ds = segment(0x10, c.rights);
        write_guest_state(*vmcb, os);
        for (const Segment* s : {&vmcb->es, &vmcb->cs, &vmcb->ss, &vmcb->ds})
            check_segment(*s, 0x10, c.attributes, 0xffffffff, 0);
    }
}

TEST_CASE("VMCB: at the launch the guest is where the OS was")
{
    FakeRegisters cpu;
    fill(cpu);
    const auto vmcb = std::make_unique<Vmcb>();
    std::memset(static_cast<void*>(&vmcb->fs), 0x5a, sizeof vmcb->fs); // VMSAVE has stored it
    vmcb->rax = 5;
    zpp_cpu_state os{};
    os.cr0 = 0x80050033;
    os.cr3 = 0x1'2345'6000;
    os.cr4 = 0x370678;
    os.efer = LME | LMA | 1;
    os.rip = 0xffffffff81000000;
    os.rsp = 0xffffc90000003f00;
    os.rflags = 0x46;
    os.es = segment(0, 0x10000, 0, 0);
    os.cs = segment(0x38, 0xa09b);
    os.ss = segment(0x30, 0xc093);
    os.ds = segment(0x28, 0xc093, 0xfffff, 0x1000);
    os.gdtr.limit = 0x47;
    os.gdtr.base = 0x7f00'0000;
    os.idtr.limit = 0xfff;
    os.idtr.base = 0x7e00'0000;
    write_guest_state(*vmcb, os);
    CHECK(raw(vmcb->cr0) == os.cr0);
    CHECK(vmcb->cr2 == 0x1234'5678'9abc);
    CHECK(vmcb->cr3 == os.cr3);
    CHECK(raw(vmcb->cr4) == os.cr4);
    CHECK(raw(vmcb->efer) == (os.efer | SVME)); // or VMRUN refuses
    CHECK(vmcb->rip == os.rip);
    CHECK(vmcb->rsp == os.rsp);
    CHECK(vmcb->rax == 0);
    CHECK(raw(vmcb->rflags) == os.rflags);
    CHECK(raw(vmcb->dr6) == 0xffff4ff0);
    CHECK(vmcb->dr7 == 0x401);
    CHECK(vmcb->pat == 0x0007050600070106);
    CHECK(raw(vmcb->debug_control) == 1);
    CHECK(vmcb->s_cet == 4);
    CHECK(vmcb->isst == 0xffff'8880'0000'1000);
    CHECK(vmcb->cpl == 0);
    check_segment(vmcb->es, 0, 0, 0, 0);
    check_segment(vmcb->cs, 0x38, 0xa9b, 0xffffffff, 0);
    check_segment(vmcb->ss, 0x30, 0xc93, 0xffffffff, 0);
    check_segment(vmcb->ds, 0x28, 0xc93, 0xfffff, 0x1000);
    check_segment(vmcb->gdtr, 0, 0, 0x47, 0x7f00'0000);
    check_segment(vmcb->idtr, 0, 0, 0xfff, 0x7e00'0000);
    check_segment(vmcb->fs, 0x5a5a, 0x5a5a, 0x5a5a5a5a, 0x5a5a5a5a5a5a5a5a);
}

TEST_CASE("VMCB: INIT, and the SIPI after it")
{
    constexpr u64 CD = 1u << 30, NW = 1u << 29, ET = 1u << 4;
    for (const u64 caches : {u64{0}, CD, CD | NW}) {
        FakeRegisters cpu;
        fill(cpu);
        const auto vmcb = std::make_unique<Vmcb>();
        std::memset(static_cast<void*>(vmcb.get()), 0xa5, sizeof *vmcb);
        vmcb->cr0 = x86::Cr0{0x80050033 | caches};
        GuestRegisters registers;
        std::memset(&registers, 0xff, sizeof registers);
        write_init_state(*vmcb, registers);

        CHECK(raw(vmcb->cr0) == (ET | caches)); // INIT leaves the caches as they are
        CHECK(vmcb->cr2 == 0);
        CHECK(vmcb->cr3 == 0);
        CHECK(raw(vmcb->cr4) == 0);
        CHECK(raw(vmcb->efer) == SVME);
        CHECK(raw(vmcb->dr6) == 0xffff0ff0);
        CHECK(vmcb->dr7 == 0x400);
        CHECK(raw(vmcb->rflags) == 2);
        CHECK(vmcb->rsp == 0);
        CHECK(vmcb->rip == 0xfff0);
        CHECK(vmcb->cpl == 0);
        check_segment(vmcb->cs, 0xf000, 0x09b, 0xffff, 0xffff0000);
        for (const Segment* s : {&vmcb->ds, &vmcb->es, &vmcb->ss, &vmcb->fs, &vmcb->gs})
            check_segment(*s, 0, 0x093, 0xffff, 0);
        check_segment(vmcb->ldtr, 0, 0x082, 0xffff, 0);
        check_segment(vmcb->tr, 0, 0x08b, 0xffff, 0);
        for (const Segment* s : {&vmcb->gdtr, &vmcb->idtr}) {
            CHECK(s->limit == 0xffff);
            CHECK(s->base == 0);
        }
        for (unsigned breakpoint = 0; breakpoint < 4; ++breakpoint)
            CHECK(cpu.debug.at(breakpoint) == 0);

        // No event is left, and nothing that the CPU may have kept.
        CHECK(vmcb->event_injection == 0);
        CHECK(vmcb->interrupt_state == 0);
        CHECK(vmcb->exit_interrupt_info == 0);
        CHECK(vmcb->virtual_interrupt == VirtualInterrupt::v_nmi_enable); // as at the launch
        CHECK(raw(vmcb->clean) == 0);
        CHECK(vmcb->tlb_control == tlb_flush_all);

        // INIT changes no MSR of these.
        for (const u64 kept : {vmcb->star, vmcb->lstar, vmcb->sysenter_eip, vmcb->pat,
                               vmcb->kernel_gs_base, vmcb->nested_cr3, vmcb->msrpm_base})
            CHECK(kept == 0xa5a5a5a5a5a5a5a5);

        GuestRegisters expected{};
        expected.rdx = x86::cpuid(1).eax;
        CHECK(std::memcmp(&registers, &expected, sizeof registers) == 0);

        for (const unsigned vector : {0u, 1u, 0x9au, 0xffu}) {
            write_sipi_state(*vmcb, static_cast<u8>(vector));
            check_segment(vmcb->cs, static_cast<u16>(vector * 0x100), 0x09b, 0xffff,
                          vector * 0x1000);
            CHECK(vmcb->rip == 0);
        }
    }
}

} // namespace
} // namespace zpp::test
