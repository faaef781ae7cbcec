// The state of a CPU under VMX, besides its VMCS.
#pragma once
#include "core/vcpu.hpp"
#include "x86/msr.hpp"

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
    volatile bool kicked;         // by an NMI; not handled yet
    bool just_started;            // by a SIPI; no guest instruction has run since
    u32 failed_field;             // VMCS field whose access failed; 0 for none
    CrRetry cr_retry;
};

inline VcpuState& state_of(Vcpu& vcpu) { return vendor_state_of<VcpuState>(vcpu); }
inline const VcpuState& state_of(const Vcpu& vcpu) { return vendor_state_of<VcpuState>(vcpu); }

// After a write of MISC_FEATURES_ENABLES, and at the launch. While CPUID faulting is on, exits skip
// the fast path: it does not look at the CPL.
void follow_cpuid_faulting(Vcpu& vcpu, x86::MiscFeaturesEnables enables);

inline void* vmxon_region(Vcpu& vcpu) { return vcpu.control_block_1(); }
inline void* vmcs_region(Vcpu& vcpu) { return vcpu.control_block_2(); }

} // namespace zpp::vmx
