// The state of a CPU under SVM, besides its VMCB.
#pragma once
#include "core/vcpu.hpp"
#include "svm/shared.hpp"
#include "svm/vmcb.hpp"

namespace zpp::svm {

struct VcpuState {
    bool entered;       // the first VMRUN succeeded
    bool fast_cpuid;    // the fast path handles CPUID by the next RIP
    u64 fault_rip;      // RIP of the last #GP
    u64 os_vm_hsave_pa; // before the launch

    // NMIs, without vNMI; see events.cpp.
    bool nmi_masked;      // the guest is in its NMI handler
    bool nmi_window_open; // the host has sent itself an NMI
    bool nmi_was_window;  // that of the last NMI exit
    u64 iret_rip;         // RIP of the IRET that ends the handler, until it has run

    // A step over one instruction; see step.hpp.
    bool stepping;
    bool page_is_open;      // over a store to the xAPIC's page
    u32 stepped_exceptions; // what the step replaces
    x86::Rflags stepped_rflags;
    x86::Dr6 stepped_dr6;
    x86::DebugCtl stepped_debug_control;
};

inline VcpuState& state_of(Vcpu& vcpu) { return vendor_state_of<VcpuState>(vcpu); }
inline const VcpuState& state_of(const Vcpu& vcpu) { return vendor_state_of<VcpuState>(vcpu); }

// After a write of HWCR, and at the launch.
inline void follow_cpuid_faulting(Vcpu& vcpu, x86::Hwcr hwcr)
{
    vcpu.cpuid_faults = has(hwcr, x86::Hwcr::cpuid_user_dis);
    state_of(vcpu).fast_cpuid = shared.next_rip && !vcpu.cpuid_faults;
}

inline void* host_save_area(Vcpu& vcpu) { return vcpu.control_block_1(); }
inline Vmcb& vmcb_of(Vcpu& vcpu) { return *static_cast<Vmcb*>(vcpu.control_block_2()); }
// For VMSAVE and VMLOAD of the host's state.
inline void* host_vmcb(Vcpu& vcpu) { return vcpu.control_block_3(); }

} // namespace zpp::svm
