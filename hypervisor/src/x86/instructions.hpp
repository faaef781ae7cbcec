// Wrappers of single instructions, named as in the manuals.
#pragma once
#include "x86/control_registers.hpp"
#include "x86/msr.hpp"

namespace zpp::x86 {

struct CpuidResult {
    u32 eax, ebx, ecx, edx;
};

inline CpuidResult cpuid(u32 leaf, u32 subleaf = 0)
{
    CpuidResult r;
    asm volatile("cpuid"
                 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                 : "a"(leaf), "c"(subleaf));
    return r;
}

inline u64 rdmsr(Msr msr)
{
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return low | u64{high} << 32;
}

inline void wrmsr(Msr msr, u64 value)
{
    asm volatile("wrmsr"
                 :
                 : "c"(msr), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
}

template <Register R> R rdmsr() { return R{rdmsr(msr_of<R>)}; }
template <Register R> void wrmsr(R value) { wrmsr(msr_of<R>, raw(value)); }

// The bootstrap processor: an INIT restarts it at the reset vector.
inline bool is_bsp() { return has(rdmsr<ApicBase>(), ApicBase::bsp); }

#define ZPP_CONTROL_REGISTER(Type, name)                                                           \
    inline Type read_##name()                                                                      \
    {                                                                                              \
        Type value;                                                                                \
        asm volatile("mov %%" #name ", %0" : "=r"(value));                                         \
        return value;                                                                              \
    }                                                                                              \
    inline void write_##name(Type value)                                                           \
    {                                                                                              \
        asm volatile("mov %0, %%" #name : : "r"(value) : "memory");                                \
    }

ZPP_CONTROL_REGISTER(Cr0, cr0)
ZPP_CONTROL_REGISTER(u64, cr2)
ZPP_CONTROL_REGISTER(u64, cr3)
ZPP_CONTROL_REGISTER(Cr4, cr4)
ZPP_CONTROL_REGISTER(Dr6, dr6)
ZPP_CONTROL_REGISTER(u64, dr7)
#undef ZPP_CONTROL_REGISTER

inline void clear_breakpoint_addresses()
{
    asm volatile("mov %0, %%dr0\n mov %0, %%dr1\n mov %0, %%dr2\n mov %0, %%dr3" : : "r"(u64{0}));
}

inline u8 in8(u16 port)
{
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

inline void out8(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

inline u16 in16(u16 port)
{
    u16 value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

inline void out16(u16 port, u16 value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }

inline u32 in32(u16 port)
{
    u32 value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

inline void out32(u16 port, u32 value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

// REP OUTSB: the bytes in turn.
inline void out8(u16 port, const u8* bytes, u64 count)
{
    asm volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(port) : "memory");
}

inline u64 rdtsc()
{
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return low | u64{high} << 32;
}

constexpr u64 cache_line = 64;

// CLFLUSH: writes the cache lines of these bytes back to memory.
inline void flush_cache(const void* start, u64 size)
{
    const auto first = reinterpret_cast<u64>(start);
    for (u64 line = first & ~(cache_line - 1); line < first + size; line += cache_line)
        asm volatile("clflush (%0)" : : "r"(line) : "memory");
}

inline void wbinvd() { asm volatile("wbinvd" : : : "memory"); }
// Takes one pending interrupt: x86/exceptions.S returns with RFLAGS.IF clear.
inline void interrupt_window() { asm volatile("sti; nop; nop; cli" : : : "memory"); }
inline void pause() { asm volatile("pause"); }

[[noreturn]] inline void halt_forever()
{
    for (;;)
        asm volatile("cli; hlt");
}

// Shuts the CPU down with an exception without an IDT; the platform then resets the machine.
[[noreturn]] inline void triple_fault()
{
    const struct [[gnu::packed]] {
        u16 limit;
        u64 base;
    } no_idt{0, 0};
    asm volatile("lidt %0\n ud2" : : "m"(no_idt));
    halt_forever();
}

} // namespace zpp::x86
