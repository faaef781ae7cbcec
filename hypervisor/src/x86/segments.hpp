// The host's GDT and TSS (SDM Vol. 3A, 3.4.5 and 8.7), one for each CPU.
#pragma once
#include "lib/types.hpp"

namespace zpp::x86 {

constexpr u16 host_cs = 0x08;
constexpr u16 host_ds = 0x10;
constexpr u16 host_tr = 0x18;

struct [[gnu::packed]] Tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7]; // IST1 is ist[0]
    u64 reserved2;
    u16 reserved3;
    u16 io_map_base;
};
static_assert(sizeof(Tss) == 104);

struct Gdt {
    u64 entry[5]; // null, code, data, and 16 bytes of TSS descriptor

    void build(const Tss& tss)
    {
        const auto base = reinterpret_cast<u64>(&tss);
        entry[0] = 0;
        entry[host_cs / 8] = 0x00af9b000000ffff; // 64-bit code, DPL 0, accessed
        entry[host_ds / 8] = 0x00cf93000000ffff; // data, writable, DPL 0, accessed
        entry[host_tr / 8] = (sizeof(Tss) - 1) | (base & 0xffffff) << 16 | u64{0x89} << 40 |
                             ((base >> 24) & 0xff) << 56;
        entry[host_tr / 8 + 1] = base >> 32;
    }

    // Loads TR, which marks the descriptor busy.
    void load_tr()
    {
        entry[host_tr / 8] &= ~bit(41);
        asm volatile("ltr %0" : : "r"(host_tr) : "memory");
    }

    // Loads GDTR, CS, SS, DS and ES. Not TR: a null TR, as UEFI has it, cannot be restored.
    void load() const
    {
        const struct [[gnu::packed]] {
            u16 limit;
            u64 base;
        } gdtr{sizeof(Gdt) - 1, reinterpret_cast<u64>(this)};
        asm volatile("lgdt %0\n"
                     "pushq %1\n"
                     "leaq 1f(%%rip), %%rax\n"
                     "pushq %%rax\n"
                     "lretq\n"
                     "1: movl %2, %%eax\n"
                     "movw %%ax, %%ss\n"
                     "movw %%ax, %%ds\n"
                     "movw %%ax, %%es\n"
                     :
                     : "m"(gdtr), "i"(host_cs), "i"(host_ds)
                     : "rax", "memory");
    }
};

} // namespace zpp::x86
