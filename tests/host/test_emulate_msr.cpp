// emulate_msr: which MSRs leave the guest, and the answers that need no CPU.
#include "core/machine.hpp"
#include "emulate/features.hpp"
#include "fake_core.hpp"
#include "fake_cpu.hpp"
#include "fake_registers.hpp"
#include "fake_vmcs.hpp"
#include "svm/msr.hpp"
#include "svm/shared.hpp"
#include "svm/vcpu_state.hpp"
#include "vmx/msr.hpp"
#include "vmx/shared.hpp"
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

// Those of features that zpp always hides.
void add_hidden(std::map<u32, Access>& expected)
{
    expected[0x1c] = both;
    for (u32 fred = 0x1cc; fred <= 0x1d4; ++fred)
        expected[fred] = both;
}

TEST_CASE("MSRs: what exits under VT-x")
{
    set_support(all_support, x86::cpuid);
    vmx::shared.capabilities.exit = vmx::ExitControls::save_perf_global_ctrl;
    for (const unsigned variable : {0u, 8u, 10u}) {
        CAPTURE(variable);
        std::map<u32, Access> expected{{0x3a, both},    {0x9b, both},   {0x79, writes},
                                       {0x2ff, writes}, {0x1b, writes}, {0x830, writes}};
        add_hidden(expected);
        expected[0x17d0] = writes;
        for (const u32 msr :
             {0x140, 0x1f4, 0x1f5, 0x1fb, 0x2a0, 0x2f4, 0x2f5, 0x982, 0x983, 0x984, 0x1400, 0x1401})
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
    set_support(all_support, x86::cpuid);
    std::map<u32, Access> expected{{0x1b, writes},       {0x830, writes},    {0xc0000080, both},
                                   {0xc0010020, writes}, {0xc0010114, both}, {0xc0010117, both},
                                   {0xc0010118, both}};
    for (const u32 msr : {0xc0010010, 0xc0010132, 0xc0010133, 0xc0010136})
        expected[msr] = both;
    for (const u32 msr :
         {0xc0010016, 0xc0010017, 0xc0010018, 0xc0010019, 0xc001001a, 0xc001001d, 0xc0010015,
          0xc0010058, 0xc0010111, 0xc0010112, 0xc0010113, 0xc0010116, 0xc0010119})
        expected[msr] = writes;
    add_hidden(expected);
    fake_core.follows_mtrrs = false;
    CHECK(intercepted(svm::msr_handlers) == expected);
    fake_core.follows_mtrrs = true;
}

TEST_CASE("MSRs: what a hidden feature adds")
{
    const auto exits = [](u32 msr) { return intercepted(vmx::msr_handlers)[msr]; };
    constexpr Access none{}, reads{true, false};
    vmx::shared.capabilities.exit = vmx::ExitControls::save_perf_global_ctrl;
    set_support(all_support, x86::cpuid);
    for (const u32 msr : {0x38f, 0x1a0, 0x3f1, 0x560, 0x587, 0x14ce})
        CHECK(exits(msr) == none);
    set_support(all_support & ~Support::processor_trace, x86::cpuid);
    for (const u32 msr : {0x560, 0x561, 0x570, 0x572, 0x580, 0x587})
        CHECK(exits(msr) == both);
    CHECK(Instruction(0x570).read(vmx::msr_handlers) == Outcome::general_protection);
    CHECK(Instruction(0x570, 1).write(vmx::msr_handlers) == Outcome::general_protection);
    set_support(all_support & ~Support::pebs, x86::cpuid);
    CHECK(exits(0x1a0) == reads);
    CHECK(exits(0x3f1) == both);
    CHECK(Instruction(0x3f1).write(vmx::msr_handlers) == Outcome::advance);
    CHECK(Instruction(0x3f1, 1).write(vmx::msr_handlers) == Outcome::advance);
    Instruction reading(0x3f1, ~u64{0});
    CHECK(reading.read(vmx::msr_handlers) == Outcome::advance);
    CHECK(reading.registers.rax == 0);
    set_support(all_support, x86::cpuid);
}

TEST_CASE("MSRs: IA32_PERF_GLOBAL_CTRL exits if a VM exit does not save it")
{
    set_support(all_support, x86::cpuid);
    vmx::shared.capabilities.exit = {};
    vmx::shared.perf_global_ctrl = 0x7000000ff;
    CHECK(intercepted(vmx::msr_handlers)[0x38f] == both);
    CHECK(Instruction(0x38f, 0x100).write(vmx::msr_handlers) == Outcome::general_protection);
    set_support(all_support & ~Support::perf_global_ctrl, x86::cpuid);
    CHECK(intercepted(vmx::msr_handlers)[0x38f] == Access{});
    set_support(all_support, x86::cpuid);
}

TEST_CASE("MSRs: the bits of IA32_PERF_GLOBAL_CTRL")
{
    const struct {
        const char* machine;
        x86::CpuidResult leaf; // 0AH
        u64 perf_capabilities, bits;
    } cases[] = {
        {"Haswell", {0x07300403, 0, 0, 0x603}, 0, 0x70000000f},
        {"Skylake-X", {0x07300404, 0, 0, 0x603}, 0, 0x70000000f},
        {"Ice Lake", {0x08300805, 0, 0xf, 0x8604}, bit(14) | bit(15), 0x1000f000000ff},
        {"a CPU without counters", {}, 0, 0},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.machine));
        CHECK(vmx::perf_global_ctrl_bits(c.leaf, c.perf_capabilities) == c.bits);
    }
}

TEST_CASE("MSRs: the hardware feedback table cannot be in the core")
{
    zpp_boot_info info = boot_info(); // 48 hidden pages at 7000000h
    REQUIRE(machine.adopt(&info));
    const auto write = [](u64 address) {
        return Instruction(0x17d0, address | 1, address >> 32).write(vmx::msr_handlers);
    };
    vmx::shared.address_bits = 46;
    for (const u64 inside : {u64{0x7000000}, u64{0x7010000}, u64{0x702f000}, 0x7000000 | bit(46)})
        CHECK(write(inside) == Outcome::general_protection);
    CHECK(write(0x9000000 | bit(46)) == Outcome::general_protection); // a key's alias
    CHECK(machine.hides({0x6fff000}, 0x1001));
    CHECK_FALSE(machine.hides({0x6fff000}, 0x1000));
    CHECK(machine.hides({0x702ffff}, 1));
    CHECK_FALSE(machine.hides({0x7030000}, 0x1000));
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

TEST_CASE("MSRs: CPUID faulting is noted when the CPU has taken the value")
{
    svm::shared.next_rip = true;
    CpuBlock cpu;
    FakeRegisters registers;
    registers.msrs = {{0xc0010015, 0}};
    const auto write = [&](u32 msr, u64 value, MsrHandlers handlers) {
        Outcome outcome{};
        const Instruction instruction(msr, static_cast<u32>(value), value >> 32);
        cpu.run([&] { outcome = instruction.write(handlers); });
        CHECK(registers.msrs[msr] == value);
        return outcome;
    };
    const auto& svm_state = svm::state_of(cpu.vcpu());
    CHECK(write(0xc0010015, bit(35) | 1, svm::msr_handlers) == Outcome::advance);
    CHECK(cpu.vcpu().cpuid_faults);
    CHECK_FALSE(svm_state.fast_cpuid);
    CHECK(write(0xc0010015, 1, svm::msr_handlers) == Outcome::advance);
    CHECK_FALSE(cpu.vcpu().cpuid_faults);
    CHECK(svm_state.fast_cpuid);
    svm::shared.next_rip = false;
}

TEST_CASE("MSRs: CPUID faulting under VT-x takes the fast path out of the way")
{
    FakeVmcs vmcs;
    vmcs.cpu.msrs[0x140] = 0;
    const auto write = [&](u64 value) {
        vmcs.block.run(
            [&] { CHECK(Instruction(0x140, value).write(vmx::msr_handlers) == Outcome::advance); });
        CHECK(vmcs.cpu.msrs[0x140] == value);
        return vmcs[vmx::FieldNatural::host_rip];
    };
    const u64 fast = write(2);
    CHECK_FALSE(vmcs.block.vcpu().cpuid_faults);
    CHECK(write(3) != fast);
    CHECK(vmcs.block.vcpu().cpuid_faults);
    CHECK(write(0) == fast);
    CHECK_FALSE(vmcs.block.vcpu().cpuid_faults);
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
