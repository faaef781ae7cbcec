// What the guest gets from the instructions that leave it. Shared by the vendors: they decode the
// exit and carry out the Outcome.
#pragma once
#include "core/vcpu.hpp"
#include "x86/control_registers.hpp"
#include "x86/instructions.hpp"
#include "zpp/hypercall.h"

namespace zpp {

enum class Outcome {
    advance,            // emulated: go on after the instruction
    retry,              // let the CPU run the same instruction again
    undefined_opcode,   // #UD in the guest
    general_protection, // #GP(0) in the guest
};

// guest_cr4: the CR4 that the guest sees.
void emulate_cpuid(GuestRegisters& registers, u64 guest_cr4);

// CPUID leaves that are not those of the bare CPU, and how they differ.
constexpr bool is_changed_leaf(u32 leaf)
{
    if (leaf < 32) // most are: one test for all of them
        return (1u << leaf & (1u << 1 | 1u << 7)) != 0;
    return leaf - ZPP_CPUID_SIGNATURE_LEAF < 2 || leaf == 0x80000001 || leaf == 0x8000000a;
}
inline void change_cpuid_leaf_1(u64 guest_cr4, x86::CpuidResult& result);
void change_cpuid_leaf(u32 leaf, u32 subleaf, u64 guest_cr4, x86::CpuidResult& result);

[[nodiscard]] Outcome emulate_rdmsr(GuestRegisters& registers);
[[nodiscard]] Outcome emulate_wrmsr(const GuestRegisters& registers);

// Calls intercept(context, first, last, read, write) for each range of MSRs whose access must
// leave the guest.
void for_each_intercepted_msr(void (*intercept)(void* context, u32 first, u32 last, bool read,
                                                bool write),
                              void* context);

[[nodiscard]] Outcome emulate_xsetbv(const GuestRegisters& registers, unsigned cpl);

// MOV to CR0 and CR4: what the CPU itself would refuse, checked before the read shadow follows.
// `hidden`: bits of CR4 that the guest must not set since zpp hides their feature.
[[nodiscard]] bool cr0_is_valid(u64 value);
[[nodiscard]] bool cr4_is_valid(u64 value, u64 hidden);

// VMCALL or VMMCALL with the magic, at CPL 0.
[[nodiscard]] Outcome emulate_hypercall(GuestRegisters& registers);

inline bool is_hypercall(const GuestRegisters& registers)
{
    return registers.rax >> 32 == ZPP_HYPERCALL_MAGIC >> 32;
}

// Inline for the fast paths: Linux asks for leaf 1 more than for any other.
inline void change_cpuid_leaf_1(u64 guest_cr4, x86::CpuidResult& result)
{
    constexpr u32 vmx = 1u << 5, smx = 1u << 6, osxsave = 1u << 27, hypervisor = 1u << 31;
    const u32 mirrored = (guest_cr4 & x86::cr4_osxsave) != 0 ? osxsave : 0;
    result.ecx = (result.ecx & ~(vmx | smx | osxsave)) | hypervisor | mirrored;
}

} // namespace zpp
