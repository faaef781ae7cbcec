#include "svm/operation.hpp"
#include "core/machine.hpp"
#include "svm/instructions.hpp"
#include "svm/shared.hpp"
#include "svm/vcpu_state.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"
#include "x86/safe.hpp"

namespace zpp::svm {
namespace {

using x86::Efer;
using x86::Msr;
using x86::VmCr;

// on: a physical INIT raises #SX in the host, if the CPU supports it.
void redirect_init(bool on)
{
    u64 value = 0;
    if (!x86::safe_rdmsr(Msr::vm_cr, value))
        return;
    const VmCr others = VmCr{value} & ~VmCr::r_init;
    (void)x86::safe_wrmsr(Msr::vm_cr, raw(on ? others | VmCr::r_init
                                             : others)); // #GP if the CPU does not have the bit
}

} // namespace

void enter_svm_operation(Vcpu& vcpu)
{
    x86::wrmsr(x86::rdmsr<Efer>() | Efer::svme);
    state_of(vcpu).os_vm_hsave_pa = x86::rdmsr(Msr::vm_hsave_pa);
    x86::wrmsr(Msr::vm_hsave_pa, machine.physical_of(host_save_area(vcpu)).value);
    redirect_init(true);
    x86::write_cr4(x86::read_cr4() | x86::Cr4::mce | shared.host_cr4);
    // The guest runs with the logical OR of the VMCB's value and the host's, so the host's is 0.
    if (shared.spec_ctrl) {
        vmcb_of(vcpu).spec_ctrl = x86::rdmsr(Msr::ia32_spec_ctrl);
        x86::wrmsr(Msr::ia32_spec_ctrl, 0);
    }
}

void leave_svm_operation(Vcpu& vcpu)
{
    if (shared.spec_ctrl)
        x86::wrmsr(Msr::ia32_spec_ctrl, vmcb_of(vcpu).spec_ctrl);
    x86::write_cr4(x86::read_cr4() & ~shared.host_cr4);
    redirect_init(false);
    stgi();
    x86::wrmsr(Msr::vm_hsave_pa, state_of(vcpu).os_vm_hsave_pa);
    x86::wrmsr(x86::rdmsr<Efer>() & ~Efer::svme);
}

} // namespace zpp::svm
