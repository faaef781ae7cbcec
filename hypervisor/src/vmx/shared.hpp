// What all CPUs share under VT-x, set at PREPARE.
#pragma once
#include "lib/address.hpp"
#include "vmx/capabilities.hpp"

namespace zpp::vmx {

struct Shared {
    Capabilities capabilities;
    CapabilityMsrs capability_msrs;
    u64 eptp;
    Hpa msr_bitmaps;
    Hpa io_bitmaps[2];     // of low and high ports, if the control is 1
    unsigned address_bits; // of physical addresses, without key bits
    u64 perf_global_ctrl;  // the bits of IA32_PERF_GLOBAL_CTRL that this CPU has
};

extern Shared shared;

constexpr u16 vpid = 1; // one guest for each CPU, which has its own TLB

// The host-owned bits of CR0 and CR4 (guest/host masks).
x86::Cr0 cr0_mask();
x86::Cr4 cr4_mask();

// `value` with the bits that VMX operation fixes.
x86::Cr0 real_cr0(x86::Cr0 value);
x86::Cr4 real_cr4(x86::Cr4 value);

// Flush this CPU's cached translations of its guest.
void flush_guest_tlb();
void flush_nested_tlb();

// The same, if nested paging has changed since the last flush.
void flush_old_translations();

} // namespace zpp::vmx
