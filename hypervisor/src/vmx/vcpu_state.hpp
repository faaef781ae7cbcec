// The state of a CPU under VMX, besides its VMCS.
#pragma once
#include "core/vcpu.hpp"

namespace zpp::vmx {

// A MOV to CR0 or CR4 that the guest runs again (cr_retry.hpp).
struct CrRetry {
    bool pending;
    u8 number; // 0 or 4
    u64 old_shadow;
    u64 rip, next_rip;
};

struct VcpuState {
    u64 nested_paging_generation; // of the translations that this CPU has cached
    bool kicked;                  // by an NMI in the host, see exit_at_once()
    bool just_started;            // by a SIPI; no guest instruction has run since
    u32 failed_field;             // VMCS field whose access failed; 0 for none
    CrRetry cr_retry;
};

inline VcpuState& state_of(Vcpu& vcpu) { return vendor_state_of<VcpuState>(vcpu); }

inline void* vmxon_region(Vcpu& vcpu) { return vcpu.control_block_1(); }
inline void* vmcs_region(Vcpu& vcpu) { return vcpu.control_block_2(); }

} // namespace zpp::vmx
