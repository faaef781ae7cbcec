// Instructions that may fault since their operands come from the guest. A fault makes them return
// false, by the table of fixups (x86/exceptions.cpp).
#pragma once
#include "x86/msr.hpp"

// If the instruction at label 1 faults, execution continues at label 2.
#define ZPP_FIXUP                                                                                  \
    "2:\n"                                                                                         \
    ".pushsection .zpp.fixups, \"a?\", @progbits\n"                                                \
    ".long 1b - .\n"                                                                               \
    ".long 2b - .\n"                                                                               \
    ".popsection\n"

namespace zpp::x86 {

[[nodiscard]] inline bool safe_rdmsr(Msr msr, u64& value)
{
    u32 low = 0, high = 0;
    bool faulted = true;
    asm volatile("1: rdmsr\n"
                 "movb $0, %2\n" ZPP_FIXUP
                 : "+a"(low), "+d"(high), "+r"(faulted)
                 : "c"(msr));
    value = low | u64{high} << 32;
    return !faulted;
}

// 0 if this CPU does not have the MSR.
inline u64 rdmsr_or_zero(Msr msr)
{
    u64 value = 0;
    return safe_rdmsr(msr, value) ? value : 0;
}

[[nodiscard]] inline bool safe_wrmsr(Msr msr, u64 value)
{
    bool faulted = true;
    asm volatile("1: wrmsr\n"
                 "movb $0, %0\n" ZPP_FIXUP
                 : "+r"(faulted)
                 : "c"(msr), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
    return !faulted;
}

[[nodiscard]] inline bool safe_write_cr0(Cr0 value)
{
    bool faulted = true;
    asm volatile("1: mov %1, %%cr0\n"
                 "movb $0, %0\n" ZPP_FIXUP
                 : "+r"(faulted)
                 : "r"(value)
                 : "memory");
    return !faulted;
}

[[nodiscard]] inline bool safe_xsetbv(u32 index, u64 value)
{
    bool faulted = true;
    asm volatile("1: xsetbv\n"
                 "movb $0, %0\n" ZPP_FIXUP
                 : "+r"(faulted)
                 : "c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
    return !faulted;
}

} // namespace zpp::x86
