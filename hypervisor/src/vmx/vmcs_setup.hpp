// Writes the VMCS's controls and host-state area, once for each CPU.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::vmx {

void write_controls();
void write_host_state(Vcpu& vcpu);

} // namespace zpp::vmx
