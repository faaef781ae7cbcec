// The interface where VT-x and AMD-V meet. One binary holds both; the CPU decides at PREPARE.
#pragma once
#include "core/result.hpp"
#include "core/vcpu.hpp"

namespace zpp {

struct Vendor {
    const char* name; // as the log says it
    u32 feature;      // ZPP_FEATURE_VTX or ZPP_FEATURE_AMDV

    // Whether CPUID shows this vendor's extension.
    bool (*present)();

    // Once, on the CPU of PREPARE: checks what the CPU can do, builds what all CPUs share.
    Result (*prepare)();

    // On each CPU. Comes back only if it failed; else the OS goes on as a guest from
    // vcpu.call->os, and VM exits arrive at the vendor's exit handler.
    Result (*launch)(Vcpu& vcpu);

    // An NMI in the host, on a launched CPU: the guest must get it as soon as it can take it.
    // Called by the host's NMI handler, so it may come between any two instructions.
    void (*on_host_nmi)(Vcpu& vcpu);

    // #SX in the host (AMD-V: an INIT that VM_CR.R_INIT has turned into it). Whether it was dealt
    // with.
    bool (*on_security_exception)(Vcpu& vcpu);

    // The guest's state, for a crash report.
    void (*dump)();

    // The manual's name of an exit reason or exit code, "?" if it has none.
    const char* (*exit_name)(u64 code);
};

// The last step of devirtualizing a CPU: on to boot_info.trampoline_leave.
extern "C" [[noreturn]] void zpp_jump_to_loader(zpp_cpu_call* call, u64 target);

// At PREPARE: makes this vendor the one that vendor() returns.
void choose_vendor(const Vendor& found);

// The chosen vendor. Not before choose_vendor().
const Vendor& vendor();

} // namespace zpp
