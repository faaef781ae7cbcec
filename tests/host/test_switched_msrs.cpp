// vmx/switched_msrs: the MSRs by which the CPU records or counts are 0 in the host, and the guest's
// in the VMCS.
#include "fake_vmcs.hpp"
#include "vmx/msr.hpp"
#include "vmx/shared.hpp"
#include "vmx/switched_msrs.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

using namespace vmx;

constexpr u32 perf_global_ctrl = 0x38f, pebs_enable = 0x3f1, rtit_ctl = 0x570, bndcfgs = 0xd90;
constexpr u32 lbr_ctl = 0x14ce;

// An OS that counts, traces and records, on a CPU that has every control.
struct Recording {
    FakeVmcs vmcs;

    Recording()
    {
        Msrs msrs = capable_msrs();
        msrs[0x485] |= bit(14); // Intel PT in VMX operation
        use_msrs(msrs);
        shared = {};
        shared.capabilities.read(read_msr);
        shared.eptp = 0x7000000 | 3 << 3 | 6;
        shared.msr_bitmaps = {0x7001000};
        set_support(shared.capabilities.support | Support::pebs,
                    [](u32, u32) { return x86::CpuidResult{}; });
        vmcs.cpu.msrs[perf_global_ctrl] = 0x70000000f;
        vmcs.cpu.msrs[pebs_enable] = 1;
        vmcs.cpu.msrs[rtit_ctl] = 0x2501;
        vmcs.cpu.msrs[bndcfgs] = 3;
        vmcs.cpu.msrs[lbr_ctl] = 0xf;
    }
};

TEST_CASE("switched MSRs: off for the launch, the OS's values in the VMCS, given back")
{
    Recording os;
    const SwitchedMsrs switched;
    for (const u32 msr : {perf_global_ctrl, rtit_ctl, bndcfgs, lbr_ctl})
        CHECK(os.vmcs.cpu.msrs[msr] == 0);
    CHECK(os.vmcs.cpu.msrs[pebs_enable] == 1);
    os.vmcs.launch(FakeVmcs::uefi());
    switched.write_to_vmcs();
    CHECK(os.vmcs.broken_rule() == "");
    CHECK(os.vmcs[Field64::guest_perf_global_ctrl] == 0x70000000f);
    CHECK(os.vmcs[Field64::host_perf_global_ctrl] == 0);
    CHECK(os.vmcs[Field64::guest_rtit_ctl] == 0x2501);
    CHECK(os.vmcs[Field64::guest_bndcfgs] == 3);
    CHECK(os.vmcs[Field64::guest_lbr_ctl] == 0xf);
    SwitchedMsrs::restore_from_vmcs();
    // but the counter of PEBS, whose record would be written through the host's CR3
    CHECK(os.vmcs.cpu.msrs[perf_global_ctrl] == 0x70000000e);
    CHECK(os.vmcs.cpu.msrs[rtit_ctl] == 0x2501);
    CHECK(os.vmcs.cpu.msrs[bndcfgs] == 3);
    CHECK(os.vmcs.cpu.msrs[lbr_ctl] == 0xf);
}

TEST_CASE("switched MSRs: a failed launch gives them back")
{
    Recording os;
    const SwitchedMsrs switched;
    switched.restore();
    CHECK(os.vmcs.cpu.msrs[perf_global_ctrl] == 0x70000000e);
    CHECK(os.vmcs.cpu.msrs[lbr_ctl] == 0xf);
}

TEST_CASE("switched MSRs: hidden PEBS is switched off")
{
    Recording os;
    set_support(shared.capabilities.support, [](u32, u32) { return x86::CpuidResult{}; });
    const SwitchedMsrs switched;
    CHECK(os.vmcs.cpu.msrs[pebs_enable] == 0);
}

TEST_CASE("switched MSRs: the guest's IA32_PERF_GLOBAL_CTRL is in the VMCS, not in the CPU")
{
    Recording os;
    shared.perf_global_ctrl = 0x70000000f;
    os.vmcs.cpu.msrs[perf_global_ctrl] = 0; // in the host
    GuestRegisters registers{};
    registers.rcx = perf_global_ctrl;
    registers.rax = 5;
    VmExit exit{};
    exit.take_operands(registers);
    CHECK(emulate_wrmsr(msr_handlers, exit) == Outcome::advance);
    CHECK(os.vmcs[Field64::guest_perf_global_ctrl] == 5);
    CHECK(os.vmcs.cpu.msrs[perf_global_ctrl] == 0);
    registers.rax = 0;
    CHECK(emulate_rdmsr(msr_handlers, exit, registers) == Outcome::advance);
    CHECK(registers.rax == 5);
}

} // namespace
} // namespace zpp::test
