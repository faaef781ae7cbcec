// emulate_msr: which MSRs leave the guest, and the answers that need no CPU.
#include "fake_core.hpp"
#include "fake_cpu.hpp"
#include "svm/msr.hpp"
#include "svm/shared.hpp"
#include "svm/vcpu_state.hpp"
#include "vmx/msr.hpp"
#include <doctest/doctest.h>
#include <map>

namespace zpp::test {
namespace {

using x86::Efer;

struct Access {
    bool read, write;
    bool operator==(const Access&) const = default;
};

constexpr Access both{true, true}, writes{false, true};

std::map<u32, Access> intercepted(MsrHandlers handlers)
{
    std::map<u32, Access> all;
    for_each_intercepted_msr(
        handlers,
        [](void* to, x86::Msr first, x86::Msr last, bool read, bool write) {
            for (x86::Msr msr = first; msr <= last; msr = msr + 1) {
                Access& access = (*static_cast<std::map<u32, Access>*>(to))[static_cast<u32>(msr)];
                access = {access.read || read, access.write || write};
            }
        },
        &all);
    return all;
}

// RDMSR and WRMSR with these operands.
struct Instruction {
    GuestRegisters registers{};

    explicit Instruction(u64 rcx, u64 rax = 0, u64 rdx = 0)
    {
        registers.rcx = rcx;
        registers.rax = rax;
        registers.rdx = rdx;
    }
    VmExit exit() const
    {
        VmExit exit{};
        exit.take_operands(registers);
        return exit;
    }
    Outcome read(MsrHandlers handlers) { return emulate_rdmsr(handlers, exit(), registers); }
    Outcome write(MsrHandlers handlers) const { return emulate_wrmsr(handlers, exit()); }
};

TEST_CASE("MSRs: what exits under VT-x")
{
    for (const unsigned variable : {0u, 8u, 10u}) {
        CAPTURE(variable);
        std::map<u32, Access> expected{{0x3a, both}, {0x9b, both}, {0x79, writes}, {0x2ff, writes}};
        for (const u32 msr :
             {0x1f4, 0x1f5, 0x1fb, 0x2a0, 0x2f4, 0x2f5, 0x982, 0x983, 0x984, 0x1400, 0x1401})
            expected[msr] = writes;
        for (u32 msr = 0x480; msr <= 0x493; ++msr)
            expected[msr] = both;
        for (const u32 msr : {0x250, 0x258, 0x259})
            expected[msr] = writes;
        for (u32 msr = 0x268; msr <= 0x26f; ++msr)
            expected[msr] = writes;
        for (u32 msr = 0x200; msr < 0x200 + 2 * variable; ++msr)
            expected[msr] = writes;
        fake_core.variable_mtrrs = variable;
        CHECK(intercepted(vmx::msr_handlers) == expected);
    }
}

TEST_CASE("MSRs: what exits under AMD-V, which leaves the MTRRs to the CPU")
{
    std::map<u32, Access> expected{{0x1b, writes},       {0x830, writes},    {0xc0000080, both},
                                   {0xc0010020, writes}, {0xc0010114, both}, {0xc0010117, both},
                                   {0xc0010118, both}};
    for (const u32 msr : {0xc0010010, 0xc0010132, 0xc0010133, 0xc0010136})
        expected[msr] = both;
    for (const u32 msr : {0xc0010016, 0xc0010017, 0xc0010018, 0xc0010019, 0xc001001a, 0xc001001d,
                          0xc0010058, 0xc0010111, 0xc0010112, 0xc0010113, 0xc0010116, 0xc0010119})
        expected[msr] = writes;
    fake_core.follows_mtrrs = false;
    CHECK(intercepted(svm::msr_handlers) == expected);
    fake_core.follows_mtrrs = true;
}

TEST_CASE("MSRs: VMX does not exist for the guest")
{
    for (u32 msr = 0x480; msr <= 0x493; ++msr) {
        CAPTURE(msr);
        CHECK(Instruction(msr).read(vmx::msr_handlers) == Outcome::general_protection);
        CHECK(Instruction(msr).write(vmx::msr_handlers) == Outcome::general_protection);
    }
}

TEST_CASE("MSRs: protected ranges and memory encryption are locked under VT-x")
{
    for (const u32 msr : {0x1f4, 0x1f5, 0x1fb, 0x2a0, 0x2f4, 0x2f5, 0x982, 0x983, 0x984, 0x1400})
        CHECK(Instruction(msr, 0x800).write(vmx::msr_handlers) == Outcome::general_protection);
}

TEST_CASE("MSRs: IA32_FEATURE_CONTROL is locked; the index is ECX")
{
    CHECK(Instruction(0x3a).write(vmx::msr_handlers) == Outcome::general_protection);
    const Instruction dirty(0xabcdef000000003a, 0x123000);
    CHECK(dirty.write(vmx::msr_handlers) == Outcome::general_protection);
}

TEST_CASE("MSRs: SVM does not exist for the guest, but may be switched off once more")
{
    for (const u32 msr : {0xc0010117, 0xc0010118}) {
        CHECK(Instruction(msr).read(svm::msr_handlers) == Outcome::general_protection);
        CHECK(Instruction(msr, 0x1000).write(svm::msr_handlers) == Outcome::general_protection);
    }
    CHECK(Instruction(0xc0010117).write(svm::msr_handlers) == Outcome::advance);
    CHECK(Instruction(0xc0010118).write(svm::msr_handlers) == Outcome::general_protection);
    CHECK(Instruction(0xc0010114, 0x10).write(svm::msr_handlers) == Outcome::advance);
}

TEST_CASE("MSRs: EFER under AMD-V: SVME stays set and hidden, LMA is the CPU's")
{
    constexpr auto sce = Efer{bit(0)}, lme = Efer{bit(8)}, lma = Efer{bit(10)}, nxe = Efer{bit(11)},
                   svme = Efer{bit(12)};
    svm::shared.efer_allowed = sce | lme | lma | nxe;
    CpuBlock cpu;
    svm::Vmcb& vmcb = svm::vmcb_of(cpu.vcpu());
    vmcb.efer = lme | lma | svme;
    vmcb.cr0 = x86::Cr0{bit(31)};
    vmcb.clean = svm::Clean::all;
    const auto write = [&](Efer value) {
        Outcome outcome{};
        cpu.run([&] { outcome = Instruction(0xc0000080, raw(value)).write(svm::msr_handlers); });
        return outcome;
    };
    CHECK(write(lme | nxe | sce) == Outcome::advance);
    CHECK(vmcb.efer == (lme | lma | nxe | sce | svme));
    CHECK(vmcb.clean == ~svm::Clean::crx);
    CHECK(write(lme | svme) == Outcome::general_protection);
    CHECK(write(nxe) == Outcome::general_protection); // LME may not change with paging on
    vmcb.cr0 = {};
    CHECK(write(nxe) == Outcome::advance);
    Instruction reading(0xc0000080);
    cpu.run([&] { CHECK(reading.read(svm::msr_handlers) == Outcome::advance); });
    CHECK(reading.registers.rax == raw(vmcb.efer & ~svme));
    CHECK(reading.registers.rdx == 0);
}

} // namespace
} // namespace zpp::test
