// The interface to VT-x and AMD-V. One binary supports both and picks at PREPARE.
#pragma once
#include "core/result.hpp"
#include "core/vcpu.hpp"

namespace zpp {

struct Vendor {
    const char* name; // in the log
    u32 feature;      // ZPP_FEATURE_VTX or ZPP_FEATURE_AMDV

    // Whether the CPU has this vendor's extension, by CPUID.
    bool (*present)();

    // Once, at PREPARE: checks the CPU's features and builds what all CPUs share.
    Result (*prepare)();

    // On each CPU. Returns only on failure; otherwise the OS continues as a guest from
    // vcpu.call->os.
    Result (*launch)(Vcpu& vcpu);

    // An NMI in the host of a launched CPU: keeps it for the guest. The host's NMI handler calls
    // it, so it can interrupt any instruction.
    void (*on_host_nmi)(Vcpu& vcpu);

    // From the host's #MC handler: if a VM entry is already under way, it must exit at once.
    void (*exit_at_once)(Vcpu& vcpu);

    // #SX in the host: on AMD-V, an INIT redirected by VM_CR.R_INIT. Returns whether it was
    // handled.
    bool (*on_security_exception)(Vcpu& vcpu);

    // Sends an NMI to a launched CPU.
    void (*send_nmi)(const Vcpu& vcpu);

    // For a launched CPU that stops: leaves VMX operation, or sets GIF and disables SVM.
    void (*leave)(Vcpu& vcpu);

    // Logs the guest's state, for a crash report.
    void (*dump)();

    // The manual's name of an exit reason or exit code; "?" if it has none.
    const char* (*exit_name)(u64 code);
};

// The last step of devirtualizing a CPU: jumps to boot_info.trampoline_leave.
extern "C" [[noreturn]] void zpp_jump_to_loader(zpp_cpu_call* call, u64 target);

// At PREPARE: sets what vendor() returns.
void choose_vendor(const Vendor& found);

bool has_vendor();

// Precondition: choose_vendor().
const Vendor& vendor();

} // namespace zpp
