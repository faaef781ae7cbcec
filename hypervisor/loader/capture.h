/*
 * Records what a CPU reports about itself: the leaves of CPUID, and the MSRs that zpp looks at. No serial
 * number is among them (leaf 3, the PPIN MSRs). For ZppBoot's file machine.json; the tables are also
 * those of `zpp-image doctor` (efi_image/doctor/requirements.py, which `make reference` writes).
 */
#ifndef ZPP_LOADER_CAPTURE_H
#define ZPP_LOADER_CAPTURE_H

#include "zpp/requirements.h"

/* The leaves of a range, from `first` to what its first leaf reports, but not beyond `last`. */
struct zpp_leaf_range {
    uint32_t first, last;
};

/* Subleaves from 1 to `last` of a leaf; of the other leaves only subleaf 0. */
struct zpp_subleaf_row {
    uint32_t leaf, last;
};

/* By number. MSRs that exist if all bits of `mask` are 1 in another value, which was recorded before. */
struct zpp_msr_row {
    uint32_t first, count; /* 0: two for each variable range of IA32_MTRRCAP */
    enum zpp_source source;
    uint32_t index;
    uint64_t mask;
};

#define ZPP_UNRECORDED_LEAF 3u /* the serial number of a Pentium III */

/* clang-format off */
ZPP_TABLE struct zpp_leaf_range zpp_captured_ranges[] = {
    {0, 0x3f}, {0x40000000, 0x4000000f}, {0x80000000, 0x8000003f},
};
#define ZPP_CAPTURED_RANGE_COUNT (sizeof zpp_captured_ranges / sizeof zpp_captured_ranges[0])

ZPP_TABLE struct zpp_subleaf_row zpp_captured_subleaves[] = {
    {0x4, 7}, {0x7, 3}, {0xb, 3}, {0xd, 62}, {0xf, 1}, {0x10, 5}, {0x12, 5}, {0x14, 1}, {0x17, 3},
    {0x18, 15}, {0x1d, 2}, {0x1e, 1}, {0x1f, 6}, {0x20, 1}, {0x23, 5}, {0x24, 1},
    {0x8000001d, 5}, {0x80000020, 5}, {0x80000026, 5},
};
#define ZPP_CAPTURED_SUBLEAVES_COUNT                                                               \
    (sizeof zpp_captured_subleaves / sizeof zpp_captured_subleaves[0])

ZPP_TABLE struct zpp_msr_row zpp_captured_msrs[] = {
    {0x1b, 1, ZPP_CPUID_EDX, 1, 1ull << 9},          /* IA32_APIC_BASE */
    {0x3a, 1, ZPP_CPUID_ECX, 1, 1ull << 5},          /* IA32_FEATURE_CONTROL */
    {0xfe, 1, ZPP_CPUID_EDX, 1, 1ull << 12},         /* IA32_MTRRCAP */
    {0x200, 0, ZPP_CPUID_EDX, 1, 1ull << 12},        /* variable-range MTRRs */
    {0x250, 1, ZPP_MSR, 0xfe, 1ull << 8},            /* fixed-range MTRRs */
    {0x258, 2, ZPP_MSR, 0xfe, 1ull << 8},
    {0x268, 8, ZPP_MSR, 0xfe, 1ull << 8},
    {0x277, 1, ZPP_CPUID_EDX, 1, 1ull << 16},        /* IA32_PAT */
    {0x2ff, 1, ZPP_CPUID_EDX, 1, 1ull << 12},        /* IA32_MTRR_DEF_TYPE */
    {0x345, 1, ZPP_CPUID_ECX, 1, 1ull << 15},        /* IA32_PERF_CAPABILITIES */
    {0x480, 11, ZPP_CPUID_ECX, 1, 1ull << 5},        /* IA32_VMX_BASIC to IA32_VMX_VMCS_ENUM */
    {0x48b, 1, ZPP_MSR, 0x482, ZPP_ALLOWED(31)},     /* IA32_VMX_PROCBASED_CTLS2 */
    {0x48c, 1, ZPP_MSR, 0x48b, ZPP_ALLOWED(1)},      /* IA32_VMX_EPT_VPID_CAP */
    {0x48d, 4, ZPP_MSR, 0x480, 1ull << 55},          /* IA32_VMX_TRUE controls */
    {0x491, 1, ZPP_MSR, 0x48b, ZPP_ALLOWED(13)},     /* IA32_VMX_VMFUNC */
    {0x492, 1, ZPP_MSR, 0x482, ZPP_ALLOWED(17)},     /* IA32_VMX_PROCBASED_CTLS3 */
    {0x493, 1, ZPP_MSR, 0x483, ZPP_ALLOWED(31)},     /* IA32_VMX_EXIT_CTLS2 */
    {0x982, 1, ZPP_CPUID_ECX, 7, 1ull << 13},        /* IA32_TME_ACTIVATE */
    {0xc0000080, 1, ZPP_CPUID_EDX, 0x80000001, 1ull << 29}, /* EFER */
    {0xc0010010, 1, ZPP_CPUID_EAX, 0x8000001f, 1},   /* SYSCFG */
    {0xc0010114, 1, ZPP_CPUID_ECX, 0x80000001, 1ull << 2}, /* VM_CR */
};
/* clang-format on */
#define ZPP_CAPTURED_MSRS_COUNT (sizeof zpp_captured_msrs / sizeof zpp_captured_msrs[0])

enum {
    ZPP_CAPTURE_LEAVES_MAX = 320,
    ZPP_CAPTURE_MSRS_MAX = 560, /* MTRRCAP can report 255 variable ranges */
};

struct zpp_captured_leaf {
    uint32_t leaf, subleaf, eax, ebx, ecx, edx;
};

struct zpp_captured_msr {
    uint32_t index;
    uint64_t value;
};

struct zpp_capture {
    uint64_t cr0, cr4;
    uint32_t microcode; /* revision; 0 if it is not known */
    uint32_t leaf_count, msr_count;
    struct zpp_captured_leaf leaves[ZPP_CAPTURE_LEAVES_MAX];
    struct zpp_captured_msr msrs[ZPP_CAPTURE_MSRS_MAX];
};

/* What a capture reads a CPU with; a test has its own. */
struct zpp_record_cpu {
    void *context;
    void (*cpuid)(void *context, struct zpp_captured_leaf *leaf);
    uint64_t (*rdmsr)(void *context, uint32_t index);
};

/* Records the CPU that it runs on, or the one that `cpu` reads; CR0, CR4 and the microcode revision
 * only without `cpu`. Reads only MSRs that exist. Allocates nothing. */
void zpp_record(struct zpp_capture *capture, const struct zpp_record_cpu *cpu);

/* Null pointers if it was not recorded: it is 0, or does not exist. */
const struct zpp_captured_leaf *zpp_find_leaf(const struct zpp_capture *capture, uint32_t leaf,
                                              uint32_t subleaf);
const struct zpp_captured_msr *zpp_find_msr(const struct zpp_capture *capture, uint32_t index);

/* As struct zpp_cpu_reader reads: returns 0 for an MSR that was not recorded. */
int zpp_captured_value(const struct zpp_capture *capture, enum zpp_source source, uint32_t index,
                       uint64_t *value);

#endif
