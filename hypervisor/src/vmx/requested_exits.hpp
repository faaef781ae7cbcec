// VM exits that the host asks for: at the NMI window, before the next instruction of the guest, and
// after it. The controls follow the CPU's state.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::vmx {

// After each change of Vcpu::nmi_pending, Vcpu::machine_check_pending, VcpuState::kicked and
// VcpuState::cr_retry. The host's NMI and #MC handlers call it too.
void request_exits(const Vcpu& vcpu);

// An NMI that has arrived in the host, or by a VM exit: a kick, or one for the guest.
void take_nmi(Vcpu& vcpu);

} // namespace zpp::vmx
