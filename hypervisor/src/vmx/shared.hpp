// What the CPUs share under VT-x, built at PREPARE.
#pragma once
#include "lib/address.hpp"
#include "vmx/capabilities.hpp"

namespace zpp::vmx {

struct Shared {
    Capabilities capabilities;
    u64 eptp;
    Hpa msr_bitmaps;
};

extern Shared shared;

constexpr u16 vpid = 1; // each CPU has one guest context, and its own TLB

// Bits of CR0 and CR4 that belong to the host; the guest sees its own values in the read shadows.
x86::Cr0 cr0_mask();
x86::Cr4 cr4_mask();

// The value the CPU must hold when the guest wants `value`.
x86::Cr0 real_cr0(x86::Cr0 value);
x86::Cr4 real_cr4(x86::Cr4 value);

// Drops this CPU's cached translations of its guest.
void flush_guest_tlb();
void flush_nested_tlb();

} // namespace zpp::vmx
