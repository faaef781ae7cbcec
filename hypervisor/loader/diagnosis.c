#include "diagnosis.h"
#include "zpp/hypercall.h"

#define VENDOR_INTEL 0x756e6547u /* "Genu", the first letters of the vendor's name */
#define VENDOR_AMD 0x68747541u   /* "Auth" */
#define VENDOR_HYGON 0x6f677948u /* "Hygo" */
#define LEAF1_ECX_HYPERVISOR (1u << 31)

static int read_capture(void *context, enum zpp_source source, uint32_t index, uint64_t *value)
{
    return zpp_captured_value(context, source, index, value);
}

/* Whether the CPU meets a group; else the diagnosis says why not. */
static int meets(struct zpp_diagnosis *diagnosis, const struct zpp_capture *capture,
                 enum zpp_group group)
{
    const struct zpp_cpu_reader reader = {(void *)capture, read_capture};
    const struct zpp_requirement *missing = zpp_first_missing(group, &reader, &diagnosis->known);
    if (missing) {
        diagnosis->status = missing->status;
        diagnosis->detail = missing->detail;
        diagnosis->fix = missing->fix;
    }
    return diagnosis->known && !missing;
}

static int has(const struct zpp_capture *capture, enum zpp_group group)
{
    struct zpp_diagnosis ignored;
    return meets(&ignored, capture, group);
}

static uint32_t cpuid_value(const struct zpp_capture *capture, enum zpp_source source,
                            uint32_t leaf)
{
    uint64_t value;
    zpp_captured_value(capture, source, leaf, &value);
    return (uint32_t)value;
}

static int refuse(struct zpp_diagnosis *diagnosis, enum zpp_status status, const char *detail,
                  const char *fix)
{
    diagnosis->status = status;
    diagnosis->detail = detail;
    diagnosis->fix = fix;
    return 0;
}

/* As zpp_loader_prepare() and the core's PREPARE. */
static int can_prepare(struct zpp_diagnosis *diagnosis, const struct zpp_capture *first)
{
    const uint32_t name = cpuid_value(first, ZPP_CPUID_EBX, 0);
    if (zpp_find_leaf(first, ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY))
        return refuse(diagnosis, ZPP_IN_USE, "", ZPP_FIX_ZPP);
    if (!meets(diagnosis, first, ZPP_FOR_LOADER) || !meets(diagnosis, first, ZPP_FOR_CORE))
        return 0;
    if (!has(first, ZPP_IS_VTX) && !has(first, ZPP_IS_AMDV))
        return refuse(diagnosis, ZPP_NO_VIRTUALIZATION, "",
                      name == VENDOR_INTEL                         ? ZPP_FIX_VTX
                      : name == VENDOR_AMD || name == VENDOR_HYGON ? ZPP_FIX_AMDV
                                                                   : "");
    diagnosis->vendor = has(first, ZPP_IS_VTX) ? ZPP_FOR_VTX : ZPP_FOR_AMDV;
    return meets(diagnosis, first, diagnosis->vendor);
}

static int has_same_vmx(const struct zpp_capture *first, const struct zpp_capture *other)
{
    for (unsigned i = 0; i < ZPP_COMPARED_MSR_COUNT; ++i) {
        const struct zpp_compared_msr *row = &zpp_compared_msrs[i];
        uint64_t a, b;
        zpp_captured_value(first, ZPP_MSR, row->index, &a);
        zpp_captured_value(other, ZPP_MSR, row->index, &b);
        if (((a ^ b) & row->mask) != 0)
            return 0;
    }
    return 1;
}

/* As the core's LAUNCH. */
static int can_launch(struct zpp_diagnosis *diagnosis, const struct zpp_capture *first,
                      const struct zpp_capture *cpu)
{
    const enum zpp_group is = diagnosis->vendor == ZPP_FOR_VTX ? ZPP_IS_VTX : ZPP_IS_AMDV;
    if (!meets(diagnosis, cpu, is) || !meets(diagnosis, cpu, diagnosis->vendor))
        return 0;
    if (diagnosis->vendor == ZPP_FOR_VTX && !has_same_vmx(first, cpu))
        return refuse(diagnosis, ZPP_MISSING_FEATURE, ZPP_SAME_VMX, ZPP_FIX_SAME_VMX);
    return 1;
}

/* Under a hypervisor that hides VT-x or AMD-V, or a part of it, no firmware setting helps. */
static void blame_hypervisor(struct zpp_diagnosis *diagnosis, const struct zpp_capture *first)
{
    const int hides = diagnosis->status == ZPP_NO_VIRTUALIZATION ||
                      diagnosis->status == ZPP_LOCKED_BY_FIRMWARE ||
                      (diagnosis->status == ZPP_MISSING_FEATURE && !diagnosis->fix[0]);
    if (hides && (cpuid_value(first, ZPP_CPUID_ECX, 1) & LEAF1_ECX_HYPERVISOR))
        diagnosis->fix = ZPP_FIX_NESTED;
}

struct zpp_diagnosis zpp_diagnose(const struct zpp_capture *const *captures, uint32_t count)
{
    struct zpp_diagnosis diagnosis = {
        .known = 1, .status = ZPP_OK, .detail = "", .fix = "", .vendor = ZPP_FOR_CORE};
    int good = can_prepare(&diagnosis, captures[0]);
    for (uint32_t cpu = 1; good && cpu < count; ++cpu) {
        good = can_launch(&diagnosis, captures[0], captures[cpu]);
        if (!good)
            diagnosis.cpu = cpu;
    }
    blame_hypervisor(&diagnosis, captures[0]);
    return diagnosis;
}
