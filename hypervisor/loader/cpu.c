#include "cpu.h"
#include "cpuid.h"
#include "zpp/hypercall.h"

#define MSR_PROCBASED_CTLS 0x482u
#define MSR_PROCBASED_CTLS2 0x48bu
#define MSR_EPT_VPID_CAP 0x48cu
#define MSR_EFER 0xc0000080u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define RIGHTS_UNUSABLE 0x10000u
#define RIGHTS_BUSY_TSS 0x8bu
#define TSS_BUSY (1ull << 41)
#define CR0_WP (1ull << 16)
#define CR4_LA57 (1ull << 12)
#define CR4_CET (1ull << 23)

static uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return low | (uint64_t)high << 32;
}

static void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

unsigned zpp_cpu_physical_address_bits(void)
{
    return zpp_cpuid(0x80000000u).eax >= 0x80000008u ? zpp_cpuid(0x80000008u).eax & 0xff : 36;
}

/* MSR_EPT_VPID_CAP exists only with EPT, a secondary control (SDM Vol. 3D, A.10). */
static int has_ept(void)
{
    const uint64_t secondary_controls = 1ull << 63, ept = 1ull << 33; /* their allowed-1 bits */
    return (rdmsr(MSR_PROCBASED_CTLS) & secondary_controls) && (rdmsr(MSR_PROCBASED_CTLS2) & ept);
}

int zpp_cpu_has_large_nested_pages(void)
{
    if (zpp_cpuid(1).ecx & (1u << 5)) /* VMX */
        return has_ept() && (rdmsr(MSR_EPT_VPID_CAP) >> 17) & 1;
    return zpp_cpuid(0x80000000u).eax >= 0x80000001u && (zpp_cpuid(0x80000001u).edx >> 26) & 1;
}

unsigned zpp_cpu_paging_levels(void)
{
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    return cr4 & CR4_LA57 ? 5 : 4;
}

static uint32_t cpuid_register(enum zpp_source source, uint32_t leaf)
{
    if (!zpp_cpuid_exists(leaf))
        return 0;
    struct zpp_cpuid result = zpp_cpuid(leaf);
    return source == ZPP_CPUID_EAX   ? result.eax
           : source == ZPP_CPUID_EBX ? result.ebx
           : source == ZPP_CPUID_ECX ? result.ecx
                                     : result.edx;
}

static int read_this_cpu(void *context, enum zpp_source source, uint32_t index, uint64_t *value)
{
    (void)context;
    if (source == ZPP_MSR)
        *value = rdmsr(index);
    else if (source == ZPP_CR4)
        __asm__ volatile("mov %%cr4, %0" : "=r"(*value));
    else
        *value = cpuid_register(source, index);
    return 1;
}

const struct zpp_requirement *zpp_cpu_missing(enum zpp_group group)
{
    const struct zpp_cpu_reader reader = {.read = read_this_cpu};
    int known;
    return zpp_first_missing(group, &reader, &known);
}

uint32_t zpp_cpu_apic_id(void)
{
    if (zpp_cpuid(0).eax >= 0xb && zpp_cpuid(0xb).ebx != 0) /* extended topology */
        return zpp_cpuid(0xb).edx;
    return zpp_cpuid(1).ebx >> 24;
}

int zpp_cpu_encrypts_memory(void)
{
    uint64_t cr3;
    if (zpp_cpuid(0x80000000u).eax < 0x8000001fu || !(zpp_cpuid(0x8000001fu).eax & 1)) /* SME */
        return 0;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return ((cr3 >> (zpp_cpuid(0x8000001fu).ebx & 63)) & 1) != 0;
}

/* Base of a system segment (TR, LDTR), whose descriptor has 16 bytes in 64-bit mode. */
static uint64_t system_segment_base(const struct zpp_table_register *gdtr, uint16_t selector)
{
    const uint64_t *descriptor = (const uint64_t *)(uintptr_t)(gdtr->base + (selector & ~7u));
    return ((descriptor[0] >> 16) & 0xffffff) | ((descriptor[0] >> 56) & 0xff) << 24 |
           descriptor[1] << 32;
}

/* Base of a data segment other than FS and GS. 64-bit code ignores it, but the loader may have
 * interrupted a 32-bit program. */
static uint64_t data_segment_base(const struct zpp_cpu_state *state, uint16_t selector)
{
    const uint64_t table = selector & 4 ? state->ldtr.base : state->gdtr.base;
    uint64_t descriptor;
    if ((selector & ~3u) == 0)
        return 0;
    descriptor = *(const uint64_t *)(uintptr_t)(table + (selector & ~7u));
    return ((descriptor >> 16) & 0xffffff) | ((descriptor >> 56) & 0xff) << 24;
}

static void capture_segment(struct zpp_segment *segment, uint16_t selector, uint64_t base)
{
    uint32_t rights = 0, limit = 0;
    segment->selector = selector;
    segment->base = base;
    segment->limit = 0;
    segment->access_rights = RIGHTS_UNUSABLE;
    if ((selector & ~3u) == 0)
        return;
    __asm__("lar %1, %0" : "=r"(rights) : "r"((uint32_t)selector) : "cc");
    __asm__("lsl %1, %0" : "=r"(limit) : "r"((uint32_t)selector) : "cc");
    segment->limit = limit;
    segment->access_rights = (rights >> 8) & 0xf0ff;
}

static void capture_system_segments(struct zpp_cpu_state *state)
{
    uint16_t ldtr, tr;
    __asm__ volatile("sldt %0" : "=m"(ldtr));
    __asm__ volatile("str %0" : "=m"(tr));
    capture_segment(&state->ldtr, ldtr, 0);
    if (ldtr & ~3u)
        state->ldtr.base = system_segment_base(&state->gdtr, ldtr);
    capture_segment(&state->tr, tr, 0);
    if (tr & ~3u) {
        state->tr.base = system_segment_base(&state->gdtr, tr);
    } else {
        /* UEFI runs with a null TR; VM entry needs a busy TSS (SDM Vol. 3C, 27.3.1.2). */
        state->tr.limit = 0x67;
        state->tr.access_rights = RIGHTS_BUSY_TSS;
    }
}

#define CAPTURE(name, base)                                                                        \
    do {                                                                                           \
        uint16_t selector;                                                                         \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(selector));                                  \
        capture_segment(&state->name, selector, base);                                             \
    } while (0)

void zpp_cpu_capture(struct zpp_cpu_state *state)
{
    __asm__ volatile("mov %%cr0, %0" : "=r"(state->cr0));
    __asm__ volatile("mov %%cr3, %0" : "=r"(state->cr3));
    __asm__ volatile("mov %%cr4, %0" : "=r"(state->cr4));
    state->efer = rdmsr(MSR_EFER);
    __asm__ volatile("sgdt %0" : "=m"(state->gdtr.limit), "=m"(state->gdtr.base));
    __asm__ volatile("sidt %0" : "=m"(state->idtr.limit), "=m"(state->idtr.base));
    capture_system_segments(state);
    CAPTURE(es, data_segment_base(state, selector));
    CAPTURE(cs, 0);
    CAPTURE(ss, 0);
    CAPTURE(ds, data_segment_base(state, selector));
    CAPTURE(fs, rdmsr(MSR_FS_BASE));
    CAPTURE(gs, rdmsr(MSR_GS_BASE));
}

static void restore_tr(const struct zpp_cpu_state *state)
{
    uint64_t cr0, cr4,
        *descriptor = (uint64_t *)(uintptr_t)(state->gdtr.base + (state->tr.selector & ~7u));
    /* LTR needs an available TSS; the OS may have mapped its GDT read-only. CET needs CR0.WP. */
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    if (cr4 & CR4_CET)
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 & ~CR4_CET) : "memory");
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~CR0_WP) : "memory");
    *(volatile uint64_t *)descriptor &= ~TSS_BUSY;
    __asm__ volatile("ltr %0" : : "r"(state->tr.selector) : "memory");
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
    if (cr4 & CR4_CET)
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

void zpp_cpu_restore(const struct zpp_cpu_state *state)
{
    __asm__ volatile("mov %0, %%fs" : : "r"(state->fs.selector));
    __asm__ volatile("mov %0, %%gs" : : "r"(state->gs.selector));
    wrmsr(MSR_FS_BASE, state->fs.base);
    wrmsr(MSR_GS_BASE, state->gs.base);
    if (state->tr.selector & ~3u) /* a null TR cannot be loaded; UEFI does not use it */
        restore_tr(state);
}

uint64_t zpp_cpu_interrupts_off(void)
{
    uint64_t rflags;
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(rflags) : : "memory");
    return rflags;
}

void zpp_cpu_interrupts_restore(uint64_t rflags)
{
    __asm__ volatile("pushq %0; popfq" : : "r"(rflags) : "memory", "cc");
}

/* CPUID never faults, so this also works where zpp does not run. */
int zpp_cpu_is_held(void)
{
    struct zpp_cpuid leaf = zpp_cpuid_subleaf(ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY);
    return leaf.ebx == ZPP_SIGNATURE_EBX && leaf.ecx == ZPP_SIGNATURE_ECX &&
           leaf.edx == ZPP_SIGNATURE_EDX;
}

int zpp_cpu_is_amd(void)
{
    return (zpp_cpuid_subleaf(ZPP_CPUID_VERSION_LEAF, ZPP_CPUID_KEY).ebx & ZPP_FEATURE_AMDV) != 0;
}

uint32_t zpp_cpu_index(void)
{
    return zpp_cpuid_subleaf(ZPP_CPUID_VERSION_LEAF, ZPP_CPUID_KEY).ecx;
}

uint64_t zpp_cpu_hypercall(uint32_t number, struct zpp_hypercall_registers *registers)
{
    uint64_t rax = ZPP_HYPERCALL(number);
    if (zpp_cpu_is_amd())
        __asm__ volatile("vmmcall"
                         : "+a"(rax), "+b"(registers->rbx), "+c"(registers->rcx),
                           "+d"(registers->rdx), "+S"(registers->rsi)
                         :
                         : "memory");
    else
        __asm__ volatile("vmcall"
                         : "+a"(rax), "+b"(registers->rbx), "+c"(registers->rcx),
                           "+d"(registers->rdx), "+S"(registers->rsi)
                         :
                         : "memory");
    return rax;
}
