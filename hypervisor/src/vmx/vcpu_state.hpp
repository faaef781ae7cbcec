// The state of a CPU under VMX, besides its VMCS.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::vmx {

struct VcpuState {
    u64 nested_paging_generation; // of the translations that this CPU has cached
    bool kicked;                  // by an NMI in the host, see exit_at_once()
    bool just_started;            // by a SIPI; no guest instruction has run since
    u32 failed_field;             // VMCS field whose access failed; 0 for none
};

inline VcpuState& state_of(Vcpu& vcpu) { return vendor_state_of<VcpuState>(vcpu); }

inline void* vmxon_region(Vcpu& vcpu) { return vcpu.control_block_1(); }
inline void* vmcs_region(Vcpu& vcpu) { return vcpu.control_block_2(); }

} // namespace zpp::vmx
