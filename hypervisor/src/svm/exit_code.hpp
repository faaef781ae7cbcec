// Exit codes (AMD APM Vol. 2, App. C).
#pragma once
#include "lib/types.hpp"

namespace zpp::svm {

// Those that zpp handles.
enum class ExitCode : u64 {
    nmi = 0x61,
    smi = 0x62,
    init = 0x63,
    vintr = 0x64,
    cpuid = 0x72,
    iret = 0x74,
    invd = 0x76,
    invlpga = 0x7a,
    msr = 0x7c,
    shutdown = 0x7f,
    vmrun = 0x80,
    vmmcall = 0x81,
    vmload = 0x82,
    vmsave = 0x83,
    stgi = 0x84,
    clgi = 0x85,
    skinit = 0x86,
    nested_page_fault = 0x400,
};

// VMEXIT_INVALID. QEMU's TCG writes only the lower half.
constexpr std::int32_t exit_invalid = -1;

// Index into Vcpu::exits.
constexpr u64 nested_page_fault_counter = 0xa8; // its exit code is too large for an index
constexpr u64 exit_counter(u64 code)
{
    return code == static_cast<u64>(ExitCode::nested_page_fault) ? nested_page_fault_counter : code;
}

// The manual's name of an exit code, without VMEXIT_; "?" if it has none.
const char* exit_name(u64 code);

} // namespace zpp::svm
