// vmx/operation and svm/operation: a CPU gets back what the launch took over.
#include "core/machine.hpp"
#include "fake_core.hpp"
#include "fake_cpu.hpp"
#include "fake_registers.hpp"
#include "svm/operation.hpp"
#include "svm/shared.hpp"
#include "svm/vcpu_state.hpp"
#include "vmx/operation.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

constexpr u32 spec_ctrl = 0x48, efer = 0xc0000080, vm_cr = 0xc0010114, vm_hsave_pa = 0xc0010117;
constexpr u64 nxe = bit(11), svme = bit(12), r_init = bit(1), vmxe = bit(13), smep = bit(20);
constexpr u64 mce = bit(6);

using Names = std::vector<std::string>;

struct Core {
    zpp_boot_info info = boot_info();
    Core() { REQUIRE(machine.adopt(&info)); }
};

TEST_CASE("VMX operation: VMCLEAR comes before VMXOFF, and CR4.VMXE is cleared")
{
    const Core core;
    CpuBlock block;
    FakeRegisters cpu;
    cpu.control = {{4, vmxe | bit(5)}};
    vmx::leave_vmx_operation(block.vcpu());
    CHECK(cpu.done == Names{"vmclear", "vmxoff"});
    CHECK(cpu.control.at(4) == bit(5));
}

TEST_CASE("SVM operation: EFER, VM_HSAVE_PA, VM_CR, CR4 and SPEC_CTRL are given back")
{
    const Core core;
    for (const bool virtual_spec_ctrl : {false, true}) {
        CAPTURE(virtual_spec_ctrl);
        svm::shared.spec_ctrl = virtual_spec_ctrl;
        svm::shared.host_cr4 = x86::Cr4::smep;
        CpuBlock block;
        FakeRegisters cpu;
        const Msrs before{{efer, nxe}, {vm_cr, 0}, {vm_hsave_pa, 0x5000}, {spec_ctrl, 5}};
        cpu.msrs = before;
        cpu.control = {{4, bit(5)}};
        svm::Vmcb& vmcb = svm::vmcb_of(block.vcpu());
        svm::enter_svm_operation(block.vcpu());
        CHECK(cpu.msrs.at(efer) == (nxe | svme));
        CHECK(cpu.msrs.at(vm_cr) == r_init);
        CHECK(cpu.msrs.at(vm_hsave_pa) ==
              machine.physical_of(svm::host_save_area(block.vcpu())).value);
        CHECK(cpu.control.at(4) == (bit(5) | mce | smep));
        // Virtualized, the guest has its own SPEC_CTRL, and the host's must add no bit to it.
        CHECK(cpu.msrs.at(spec_ctrl) == (virtual_spec_ctrl ? 0 : 5));
        CHECK(vmcb.spec_ctrl == (virtual_spec_ctrl ? 5 : 0));
        vmcb.spec_ctrl = 1; // the guest has written it
        cpu.done.clear();
        svm::leave_svm_operation(block.vcpu());
        Msrs after = before;
        after[spec_ctrl] = virtual_spec_ctrl ? 1 : 5;
        CHECK(cpu.msrs == after);
        CHECK(cpu.control.at(4) == (bit(5) | mce)); // the trampoline restores it
        CHECK(std::count(cpu.done.begin(), cpu.done.end(), "stgi") == 1);
        CHECK(cpu.done.back() == "wrmsr"); // EFER.SVME last: STGI needs it
    }
    svm::shared.spec_ctrl = false;
    svm::shared.host_cr4 = {};
}

} // namespace
} // namespace zpp::test
