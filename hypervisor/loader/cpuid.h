#ifndef ZPP_LOADER_CPUID_H
#define ZPP_LOADER_CPUID_H

#include "zpp/boot_info.h"

struct zpp_cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct zpp_cpuid zpp_cpuid_subleaf(uint32_t leaf, uint32_t subleaf)
{
    struct zpp_cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

/* Subleaf 0 of the leaf. */
static inline struct zpp_cpuid zpp_cpuid(uint32_t leaf) { return zpp_cpuid_subleaf(leaf, 0); }

/* Whether this CPU has the leaf: a basic one, an extended one, or one of a hypervisor. */
static inline int zpp_cpuid_exists(uint32_t leaf)
{
    return leaf <= zpp_cpuid(leaf & 0xf0000000u).eax;
}

#endif
