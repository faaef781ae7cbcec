#include "vmx/operation.hpp"
#include "core/machine.hpp"
#include "vmx/instructions.hpp"
#include "vmx/shared.hpp"
#include "vmx/vcpu_state.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"

namespace zpp::vmx {

using x86::FeatureControl;

Result enter_vmx_operation(Vcpu& vcpu)
{
    const auto feature_control = x86::rdmsr<FeatureControl>();
    if (!has(feature_control, FeatureControl::lock))
        x86::wrmsr(feature_control | FeatureControl::lock | FeatureControl::vmx_outside_smx);
    x86::write_cr0(real_cr0(x86::read_cr0()));
    x86::write_cr4(x86::read_cr4() | x86::Cr4::vmxe);

    auto* vmxon_page = static_cast<u32*>(vmxon_region(vcpu));
    auto* vmcs_page = static_cast<u32*>(vmcs_region(vcpu));
    *vmxon_page = shared.capabilities.revision;
    *vmcs_page = shared.capabilities.revision;
    if (!vmxon(machine.physical_of(vmxon_page))) {
        x86::write_cr4(x86::read_cr4() & ~x86::Cr4::vmxe);
        return {ZPP_IN_USE, "VMXON failed"};
    }
    const Hpa vmcs = machine.physical_of(vmcs_page);
    if (!vmclear(vmcs) || !vmptrld(vmcs)) {
        leave_vmx_operation(vcpu);
        return {ZPP_ENTRY_FAILED, "VMCLEAR or VMPTRLD failed"};
    }
    return {};
}

void leave_vmx_operation(Vcpu& vcpu)
{
    (void)vmclear(machine.physical_of(vmcs_region(vcpu)));
    vmxoff();
    x86::write_cr4(x86::read_cr4() & ~x86::Cr4::vmxe);
}

} // namespace zpp::vmx
