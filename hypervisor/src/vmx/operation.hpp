// Entering and leaving VMX operation (SDM Vol. 3C, 24.7).
#pragma once
#include "core/result.hpp"
#include "core/vcpu.hpp"

namespace zpp::vmx {

// VMXON, and makes the CPU's VMCS current.
Result enter_vmx_operation(Vcpu& vcpu);

// VMXOFF. VMCLEAR comes before: the CPU may keep a current VMCS in its cache and write it later,
// when the memory is the OS's again (SDM Vol. 3C, 25.11.1).
void leave_vmx_operation(Vcpu& vcpu);

} // namespace zpp::vmx
