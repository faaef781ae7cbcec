// CPUID as the guest sees it (SDM Vol. 2A, CPUID; zpp/hypercall.h for the leaves that zpp adds).
#pragma once
#include "core/guest_registers.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "zpp/hypercall.h"

namespace zpp {

// Once, at PREPARE: whether CPUID shows zpp also to who asks without ZPP_CPUID_KEY.
void set_visible(bool visible);

// Set in CPUID.1:ECX; a mask, so that the fast path tests nothing.
[[gnu::visibility("hidden")]] extern u32 leaf1_ecx_added;

// guest_cr4: the CR4 that the guest sees.
void emulate_cpuid(GuestRegisters& registers, x86::Cr4 guest_cr4);

// Whether the leaf differs from that of the bare CPU.
constexpr bool is_changed_leaf(u32 leaf)
{
    if (leaf < 32) // most of them: one test
        return (1u << leaf & (1u << 1 | 1u << 7)) != 0;
    constexpr u64 extended =
        bit(0x01) | bit(0x08) | bit(0x0a) | bit(0x1f) | bit(0x23) | bit(0x25); // of 80000000H + n
    if (leaf - 0x80000000 < 64)
        return (extended >> (leaf - 0x80000000) & 1) != 0;
    return leaf - ZPP_CPUID_SIGNATURE_LEAF < 2;
}

void change_cpuid_leaf(u32 leaf, u32 subleaf, x86::Cr4 guest_cr4, x86::CpuidResult& result);

inline void change_cpuid_leaf_1(x86::Cr4 guest_cr4, x86::CpuidResult& result)
{
    constexpr u32 vmx = 1u << 5, smx = 1u << 6, osxsave = 1u << 27;
    const u32 mirrored = has(guest_cr4, x86::Cr4::osxsave) ? osxsave : 0;
    result.ecx = (result.ecx & ~(vmx | smx | osxsave)) | leaf1_ecx_added | mirrored;
}

// Leaves that the fast paths handle: unchanged ones, and leaf 1, which Linux reads most often.
constexpr bool is_fast_leaf(u32 leaf) { return leaf == 1 || !is_changed_leaf(leaf); }

// Precondition: is_fast_leaf(). guest_cr4 is needed for leaf 1 only.
inline x86::CpuidResult fast_cpuid(u32 leaf, u32 subleaf, x86::Cr4 guest_cr4)
{
    x86::CpuidResult result = x86::cpuid(leaf, subleaf);
    if (leaf == 1)
        change_cpuid_leaf_1(guest_cr4, result);
    return result;
}

} // namespace zpp
