#include "capture.h"
#include "cpuid.h"
#include "zpp/hypercall.h"

#define MSR_MTRRCAP 0xfeu
#define MSR_BIOS_SIGN_ID 0x8bu
#define LEAF1_ECX_HYPERVISOR (1u << 31)

static void this_cpuid(void *context, struct zpp_captured_leaf *leaf)
{
    const struct zpp_cpuid result = zpp_cpuid_subleaf(leaf->leaf, leaf->subleaf);
    (void)context;
    leaf->eax = result.eax;
    leaf->ebx = result.ebx;
    leaf->ecx = result.ecx;
    leaf->edx = result.edx;
}

static uint64_t this_rdmsr(void *context, uint32_t index)
{
    uint32_t low, high;
    (void)context;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return low | (uint64_t)high << 32;
}

static struct zpp_captured_leaf read_leaf(const struct zpp_record_cpu *cpu, uint32_t leaf,
                                          uint32_t subleaf)
{
    struct zpp_captured_leaf result = {.leaf = leaf, .subleaf = subleaf};
    cpu->cpuid(cpu->context, &result);
    return result;
}

static void add_leaf(struct zpp_capture *capture, const struct zpp_captured_leaf *leaf)
{
    if ((leaf->eax | leaf->ebx | leaf->ecx | leaf->edx) != 0 &&
        capture->leaf_count < ZPP_CAPTURE_LEAVES_MAX)
        capture->leaves[capture->leaf_count++] = *leaf;
}

static uint32_t last_subleaf(uint32_t leaf)
{
    for (unsigned i = 0; i < ZPP_CAPTURED_SUBLEAVES_COUNT; ++i)
        if (zpp_captured_subleaves[i].leaf == leaf)
            return zpp_captured_subleaves[i].last;
    return 0;
}

static void capture_range(struct zpp_capture *capture, const struct zpp_record_cpu *cpu,
                          const struct zpp_leaf_range *range)
{
    uint32_t last = read_leaf(cpu, range->first, 0).eax;
    if (last > range->last)
        last = range->last;
    for (uint32_t leaf = range->first; leaf <= last; ++leaf) {
        if (leaf == ZPP_UNRECORDED_LEAF)
            continue;
        for (uint32_t subleaf = 0; subleaf <= last_subleaf(leaf); ++subleaf) {
            const struct zpp_captured_leaf result = read_leaf(cpu, leaf, subleaf);
            add_leaf(capture, &result);
        }
    }
}

static int is_zpp(const struct zpp_captured_leaf *leaf)
{
    return leaf->ebx == ZPP_SIGNATURE_EBX && leaf->ecx == ZPP_SIGNATURE_ECX &&
           leaf->edx == ZPP_SIGNATURE_EDX;
}

static void capture_cpuid(struct zpp_capture *capture, const struct zpp_record_cpu *cpu)
{
    const struct zpp_captured_leaf zpp = read_leaf(cpu, ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY);
    const int in_guest = (read_leaf(cpu, 1, 0).ecx & LEAF1_ECX_HYPERVISOR) != 0;
    for (unsigned i = 0; i < ZPP_CAPTURED_RANGE_COUNT; ++i)
        if (zpp_captured_ranges[i].first != ZPP_CPUID_SIGNATURE_LEAF || in_guest)
            capture_range(capture, cpu, &zpp_captured_ranges[i]);
    if (is_zpp(&zpp))
        add_leaf(capture, &zpp);
}

int zpp_captured_value(const struct zpp_capture *capture, enum zpp_source source, uint32_t index,
                       uint64_t *value)
{
    const struct zpp_captured_leaf *leaf;
    const struct zpp_captured_msr *msr;
    if (source == ZPP_MSR) {
        msr = zpp_find_msr(capture, index);
        *value = msr ? msr->value : 0;
        return msr != 0;
    }
    if (source == ZPP_CR4) {
        *value = capture->cr4;
        return 1;
    }
    leaf = zpp_find_leaf(capture, index, 0);
    *value = !leaf                     ? 0
             : source == ZPP_CPUID_EAX ? leaf->eax
             : source == ZPP_CPUID_EBX ? leaf->ebx
             : source == ZPP_CPUID_ECX ? leaf->ecx
                                       : leaf->edx;
    return 1;
}

static void capture_msrs(struct zpp_capture *capture, const struct zpp_record_cpu *cpu)
{
    for (unsigned row = 0; row < ZPP_CAPTURED_MSRS_COUNT; ++row) {
        const struct zpp_msr_row *msrs = &zpp_captured_msrs[row];
        uint64_t shown, count = msrs->count;
        if (!zpp_captured_value(capture, msrs->source, msrs->index, &shown) ||
            (shown & msrs->mask) != msrs->mask)
            continue;
        if (count == 0 && zpp_captured_value(capture, ZPP_MSR, MSR_MTRRCAP, &count))
            count = 2 * (count & 0xff);
        for (uint32_t i = 0; i < count && capture->msr_count < ZPP_CAPTURE_MSRS_MAX; ++i)
            capture->msrs[capture->msr_count++] = (struct zpp_captured_msr){
                .index = msrs->first + i, .value = cpu->rdmsr(cpu->context, msrs->first + i)};
    }
}

/* Intel: CPUID puts the revision into the MSR (SDM Vol. 3A, 10.11.7.1). */
static uint32_t microcode_revision(void)
{
    const struct zpp_cpuid vendor = zpp_cpuid(0);
    const unsigned family = (zpp_cpuid(1).eax >> 8) & 0xf;
    if (vendor.ebx == 0x756e6547 && family >= 6) { /* "Genu" */
        __asm__ volatile("wrmsr" : : "c"(MSR_BIOS_SIGN_ID), "a"(0), "d"(0) : "memory");
        zpp_cpuid(1);
        return (uint32_t)(this_rdmsr(0, MSR_BIOS_SIGN_ID) >> 32);
    }
    if ((vendor.ebx == 0x68747541 || vendor.ebx == 0x6f677948) && family == 0xf) /* Auth, Hygo */
        return (uint32_t)this_rdmsr(0, MSR_BIOS_SIGN_ID);
    return 0;
}

void zpp_record(struct zpp_capture *capture, const struct zpp_record_cpu *cpu)
{
    static const struct zpp_record_cpu this_cpu = {.cpuid = this_cpuid, .rdmsr = this_rdmsr};
    capture->leaf_count = 0;
    capture->msr_count = 0;
    if (!cpu) {
        cpu = &this_cpu;
        __asm__ volatile("mov %%cr0, %0" : "=r"(capture->cr0));
        __asm__ volatile("mov %%cr4, %0" : "=r"(capture->cr4));
        capture->microcode = microcode_revision();
    }
    capture_cpuid(capture, cpu);
    capture_msrs(capture, cpu);
}

const struct zpp_captured_leaf *zpp_find_leaf(const struct zpp_capture *capture, uint32_t leaf,
                                              uint32_t subleaf)
{
    for (uint32_t i = 0; i < capture->leaf_count; ++i)
        if (capture->leaves[i].leaf == leaf && capture->leaves[i].subleaf == subleaf)
            return &capture->leaves[i];
    return 0;
}

const struct zpp_captured_msr *zpp_find_msr(const struct zpp_capture *capture, uint32_t index)
{
    for (uint32_t i = 0; i < capture->msr_count; ++i)
        if (capture->msrs[i].index == index)
            return &capture->msrs[i];
    return 0;
}
