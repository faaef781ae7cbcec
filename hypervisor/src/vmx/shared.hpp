// What the CPUs share under VT-x, built at PREPARE.
#pragma once
#include "vmx/capabilities.hpp"

namespace zpp::vmx {

struct Shared {
    Capabilities capabilities;
    u64 eptp;
    u64 msr_bitmaps; // host-physical
};

extern Shared shared;

constexpr u16 vpid = 1; // each CPU has one guest context, and its own TLB

// Bits of CR0 and CR4 that belong to the host; the guest sees its own values in the read shadows.
u64 cr0_mask();
u64 cr4_mask();

// The value the CPU must hold when the guest wants `value`.
u64 real_cr0(u64 value);
u64 real_cr4(u64 value);

// Drops this CPU's cached translations of its guest.
void flush_guest_tlb();
void flush_nested_tlb();

} // namespace zpp::vmx
