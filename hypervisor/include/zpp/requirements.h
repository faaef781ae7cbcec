/*
 * What zpp needs from a CPU, in one table. The core and the loaders use it to refuse a launch.
 * ZppBoot's diagnosis and `zpp-image doctor` use it to say whether zpp will run, and which setting
 * helps. `make reference` writes doctor's copy from it, efi_image/doctor/requirements.py.
 */
#ifndef ZPP_REQUIREMENTS_H
#define ZPP_REQUIREMENTS_H

#include "zpp/boot_info.h"
#include "zpp/status.h"

#ifdef __cplusplus
#define ZPP_TABLE inline constexpr
#else
#define ZPP_TABLE static const
#endif

/* Where a value comes from; CPUID: the register of subleaf 0, 0 if the leaf does not exist. */
enum zpp_source {
    ZPP_MSR,
    ZPP_CPUID_EAX,
    ZPP_CPUID_EBX,
    ZPP_CPUID_ECX,
    ZPP_CPUID_EDX,
    ZPP_CR4,
};

/* Rows of one group are checked in their order: an MSR is read only if a row before has shown that
 * it exists. */
enum zpp_group {
    ZPP_FOR_LOADER, /* before the core is entered */
    ZPP_FOR_CORE,   /* once, at PREPARE */
    ZPP_IS_VTX,     /* whether CPUID shows VT-x, which is tried first */
    ZPP_IS_AMDV,
    ZPP_FOR_VTX, /* at PREPARE, and on each CPU at its launch */
    ZPP_FOR_AMDV,
};

enum zpp_rule {
    ZPP_ALL_1,          /* all bits of the mask are 1 */
    ZPP_ALL_0,          /* all are 0 */
    ZPP_NOT_LOCKED_OFF, /* bit 0, the lock, is 0, or another bit of the mask is 1 */
};

struct zpp_requirement {
    enum zpp_group group;
    enum zpp_source source;
    uint32_t index; /* of the MSR or the leaf */
    enum zpp_rule rule;
    uint64_t mask;
    enum zpp_status status; /* why the launch is refused */
    const char *detail;     /* zpp_cpu_call.detail then */
    const char *name;       /* for the diagnosis, where detail is empty */
    const char *fix;        /* what usually brings it, or empty */
};

#define ZPP_FIX_VTX "enable \"Intel Virtualization Technology\" (VT-x, VMX) in the firmware's setup"
#define ZPP_FIX_AMDV "enable \"SVM Mode\" (AMD-V) in the firmware's setup"
#define ZPP_FIX_NX                                                                                 \
    "enable \"Execute Disable Bit\" or \"No-Execute Memory Protection\" in the firmware's setup"
#define ZPP_FIX_FRED "boot Linux with fred=off"
#define ZPP_FIX_IN_USE "stop the other hypervisor first (KVM: modprobe -r kvm_intel kvm_amd kvm)"
#define ZPP_FIX_NESTED "turn on nested virtualization in the hypervisor that this machine runs on"

#define ZPP_FIX_ZPP "boot without zpp first"
#define ZPP_FIX_SAME_VMX "update the firmware, or turn off one type of core in the firmware's setup"

#define ZPP_SAME_VMX "the same VMX capabilities on every CPU"

/* The allowed-1 bit of a control in a capability MSR of VMX (SDM Vol. 3D, A.3). */
#define ZPP_ALLOWED(control) (1ull << (32 + (control)))

/* One bit of a register. */
#define ZPP_NEEDS(group, source, index, bit, detail)                                               \
    {group, source, index, ZPP_ALL_1, 1ull << (bit), ZPP_MISSING_FEATURE, detail, "", ""}
#define ZPP_NEEDS_CONTROL(index, control, detail)                                                  \
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, index, 32 + (control), detail)
/* A control that cannot be 0, besides the manual's default1 ones: its exits would come. */
#define ZPP_FREE_CONTROLS(index, default1)                                                         \
    {ZPP_FOR_VTX,                                                                                  \
     ZPP_MSR,                                                                                      \
     index,                                                                                        \
     ZPP_ALL_0,                                                                                    \
     0xffffffffull & ~(uint64_t)(default1),                                                        \
     ZPP_MISSING_FEATURE,                                                                          \
     "VM exits that can be turned off",                                                            \
     "",                                                                                           \
     ""}

/* clang-format off */
ZPP_TABLE struct zpp_requirement zpp_requirements[] = {
    {ZPP_FOR_LOADER, ZPP_CPUID_EDX, 0x80000001, ZPP_ALL_1, 1ull << 20,
     ZPP_MISSING_FEATURE, "no-execute pages", "", ZPP_FIX_NX},

    /* CR4.FRED: the host takes exceptions through its IDT. */
    {ZPP_FOR_CORE, ZPP_CR4, 0, ZPP_ALL_0, 1ull << 32,
     ZPP_MISSING_FEATURE, "an OS without FRED (Linux: fred=off)", "", ZPP_FIX_FRED},

    {ZPP_IS_VTX, ZPP_CPUID_ECX, 1, ZPP_ALL_1, 1ull << 5,
     ZPP_NO_VIRTUALIZATION, "", "VT-x", ZPP_FIX_VTX},
    {ZPP_IS_AMDV, ZPP_CPUID_ECX, 0x80000001, ZPP_ALL_1, 1ull << 2,
     ZPP_NO_VIRTUALIZATION, "", "AMD-V", ZPP_FIX_AMDV},

    /* IA32_FEATURE_CONTROL: the lock, and VMX outside SMX */
    {ZPP_FOR_VTX, ZPP_MSR, 0x3a, ZPP_NOT_LOCKED_OFF, 1ull << 0 | 1ull << 2,
     ZPP_LOCKED_BY_FIRMWARE, "", "not locked off by the firmware", ZPP_FIX_VTX},
    /* IA32_VMX_BASIC, IA32_VMX_MISC */
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, 0x480, 55, "IA32_VMX_TRUE controls"),
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, 0x485, 5, "VM exits that store EFER.LMA"),
    /* IA32_VMX_TRUE_PINBASED_CTLS */
    ZPP_NEEDS_CONTROL(0x48d, 3, "NMI exiting"),
    ZPP_NEEDS_CONTROL(0x48d, 5, "virtual NMIs"),
    /* IA32_VMX_TRUE_PROCBASED_CTLS */
    ZPP_NEEDS_CONTROL(0x48e, 22, "NMI-window exiting"),
    ZPP_NEEDS_CONTROL(0x48e, 28, "MSR bitmaps"),
    ZPP_NEEDS_CONTROL(0x48e, 31, "secondary controls"),
    /* IA32_VMX_PROCBASED_CTLS2 */
    ZPP_NEEDS_CONTROL(0x48b, 1, "EPT"),
    ZPP_NEEDS_CONTROL(0x48b, 7, "unrestricted guest"),
    /* IA32_VMX_TRUE_EXIT_CTLS */
    ZPP_NEEDS_CONTROL(0x48f, 2, "save debug controls"),
    ZPP_NEEDS_CONTROL(0x48f, 9, "64-bit host"),
    ZPP_NEEDS_CONTROL(0x48f, 18, "save IA32_PAT"),
    ZPP_NEEDS_CONTROL(0x48f, 19, "load IA32_PAT"),
    ZPP_NEEDS_CONTROL(0x48f, 20, "save IA32_EFER"),
    ZPP_NEEDS_CONTROL(0x48f, 21, "load IA32_EFER"),
    /* IA32_VMX_TRUE_ENTRY_CTLS */
    ZPP_NEEDS_CONTROL(0x490, 2, "load debug controls"),
    ZPP_NEEDS_CONTROL(0x490, 9, "IA-32e mode guest"),
    ZPP_NEEDS_CONTROL(0x490, 14, "load IA32_PAT"),
    ZPP_NEEDS_CONTROL(0x490, 15, "load IA32_EFER"),
    ZPP_FREE_CONTROLS(0x48d, 0x16),
    ZPP_FREE_CONTROLS(0x48e, 0x04006172),
    ZPP_FREE_CONTROLS(0x48b, 0),
    /* IA32_VMX_EPT_VPID_CAP */
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, 0x48c, 6, "EPT with four levels and write-back tables"),
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, 0x48c, 14, "EPT with four levels and write-back tables"),
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, 0x48c, 16, "EPT 2 MiB pages"),
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, 0x48c, 20, "INVEPT"),
    ZPP_NEEDS(ZPP_FOR_VTX, ZPP_MSR, 0x48c, 25, "INVEPT"),
    /* CR4.VMXE */
    {ZPP_FOR_VTX, ZPP_CR4, 0, ZPP_ALL_0, 1ull << 13,
     ZPP_IN_USE, "", "not used by another hypervisor", ZPP_FIX_IN_USE},

    /* VM_CR.SVMDIS */
    {ZPP_FOR_AMDV, ZPP_MSR, 0xc0010114, ZPP_ALL_0, 1ull << 4,
     ZPP_LOCKED_BY_FIRMWARE, "", "not locked off by the firmware", ZPP_FIX_AMDV},
    ZPP_NEEDS(ZPP_FOR_AMDV, ZPP_CPUID_EDX, 0x8000000a, 0, "nested paging"),
    /* EFER.SVME */
    {ZPP_FOR_AMDV, ZPP_MSR, 0xc0000080, ZPP_ALL_0, 1ull << 12,
     ZPP_IN_USE, "", "not used by another hypervisor", ZPP_FIX_IN_USE},
};
/* clang-format on */

#define ZPP_REQUIREMENT_COUNT (sizeof zpp_requirements / sizeof zpp_requirements[0])

/* Bits of the capability MSRs that zpp looks at: all CPUs must have the same, since they share what
 * the core derives from them. The lower half of a control's MSR, its fixed bits, is compared whole. */
struct zpp_compared_msr {
    uint32_t index;
    uint64_t mask;
};

/* clang-format off */
ZPP_TABLE struct zpp_compared_msr zpp_compared_msrs[] = {
    {0x480, 0x7fffffff},   /* IA32_VMX_BASIC: the VMCS revision */
    {0x485, 1ull << 14},   /* IA32_VMX_MISC: Intel PT in VMX operation */
    {0x486, ~0ull}, {0x487, ~0ull}, {0x488, ~0ull}, {0x489, ~0ull}, /* fixed bits of CR0 and CR4 */
    {0x48b, 0xffffffff | ZPP_ALLOWED(3) | ZPP_ALLOWED(5) | ZPP_ALLOWED(12) | ZPP_ALLOWED(19) |
            ZPP_ALLOWED(20) | ZPP_ALLOWED(24) | ZPP_ALLOWED(26) | ZPP_ALLOWED(27)},
    {0x48c, 1ull << 7 | 1ull << 17 | 1ull << 32 | 1ull << 41}, /* 5 levels, 1 GiB pages, INVVPID */
    {0x48d, 0xffffffff | ZPP_ALLOWED(6)},
    {0x48e, 0xffffffff | ZPP_ALLOWED(25) | ZPP_ALLOWED(27)},
    {0x48f, 0xffffffff | ZPP_ALLOWED(12) | ZPP_ALLOWED(23) | ZPP_ALLOWED(24) | ZPP_ALLOWED(25) |
            ZPP_ALLOWED(26) | ZPP_ALLOWED(30)},
    {0x490, 0xffffffff | ZPP_ALLOWED(13) | ZPP_ALLOWED(16) | ZPP_ALLOWED(17) | ZPP_ALLOWED(18) |
            ZPP_ALLOWED(21)},
};
/* clang-format on */

#define ZPP_COMPARED_MSR_COUNT (sizeof zpp_compared_msrs / sizeof zpp_compared_msrs[0])

/* Reads from a CPU, or from what was recorded of it. */
struct zpp_cpu_reader {
    void *context;
    /* Returns 0 if the value is not known. */
    int (*read)(void *context, enum zpp_source source, uint32_t index, uint64_t *value);
};

static inline int zpp_meets(const struct zpp_requirement *row, uint64_t value)
{
    const uint64_t bits = value & row->mask;
    if (row->rule == ZPP_NOT_LOCKED_OFF)
        return bits != 1;
    return row->rule == ZPP_ALL_1 ? bits == row->mask : bits == 0;
}

/* The first row of the group that the CPU does not meet, or a null pointer. *known is 0 if a value
 * could not be read: then nothing is said about the rows from that one on. */
static inline const struct zpp_requirement *
zpp_first_missing(enum zpp_group group, const struct zpp_cpu_reader *cpu, int *known)
{
    *known = 1;
    for (unsigned i = 0; i < ZPP_REQUIREMENT_COUNT; ++i) {
        const struct zpp_requirement *row = &zpp_requirements[i];
        uint64_t value;
        if (row->group != group)
            continue;
        if (!cpu->read(cpu->context, row->source, row->index, &value)) {
            if (row->source == ZPP_CR4) /* an OS does not show it to its programs */
                continue;
            *known = 0;
            return 0;
        }
        if (!zpp_meets(row, value))
            return row;
    }
    return 0;
}

#endif
