/* CPUID with subleaf 0. */
#ifndef ZPP_WINDOWS_CPUID_H
#define ZPP_WINDOWS_CPUID_H

#include <stdint.h>

struct zpp_cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct zpp_cpuid zpp_cpuid(uint32_t leaf)
{
    struct zpp_cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(0));
    return r;
}

#endif
