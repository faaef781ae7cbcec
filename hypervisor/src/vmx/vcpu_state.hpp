// What VMX keeps for each CPU besides its VMCS.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::vmx {

struct VcpuState {
    u64 nested_paging_generation; // of the translations that this CPU may have cached
    u32 failed_field;             // VMCS field that could not be read or written, 0 for none
};

inline VcpuState& state_of(Vcpu& vcpu) { return vendor_state_of<VcpuState>(vcpu); }

inline void* vmxon_region(Vcpu& vcpu) { return vcpu.control_block_1(); }
inline void* vmcs_region(Vcpu& vcpu) { return vcpu.control_block_2(); }

} // namespace zpp::vmx
