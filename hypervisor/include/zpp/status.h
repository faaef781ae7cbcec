/*
 * Status of a phase of the core or a step of a loader; 0 is success. Plain C: shared by the core
 * and all loaders.
 */
#ifndef ZPP_STATUS_H
#define ZPP_STATUS_H

enum zpp_status {
    ZPP_OK = 0,
    ZPP_BAD_ELF,           /* hypervisor.elf is not a static PIE as the loader expects */
    ZPP_BAD_BOOT_INFO,     /* boot_info of another version: loader and core do not match */
    ZPP_NO_MEMORY,         /* the memory ranges have fewer pages than zpp_loader_pages() returned */
    ZPP_NO_VIRTUALIZATION, /* CPUID shows neither VT-x nor AMD-V */
    ZPP_LOCKED_BY_FIRMWARE, /* the firmware has disabled VT-x or AMD-V and locked the setting */
    ZPP_IN_USE,             /* another hypervisor uses VT-x or AMD-V on this CPU */
    ZPP_MISSING_FEATURE, /* the CPU lacks a control that zpp needs; zpp_cpu_call.detail names it */
    ZPP_ENTRY_FAILED,    /* VM entry failed; zpp_cpu_call.detail says why */
    ZPP_BAD_CALL,        /* a phase was called out of order, or for a CPU that does not exist */
    ZPP_STATUS_COUNT
};

/* One short English phrase for each status, for a line such as "zpp: no hypervisor: <phrase>". */
static inline const char *zpp_status_text(enum zpp_status status)
{
    static const char *const text[ZPP_STATUS_COUNT] = {
        "success",
        "hypervisor.elf is damaged or not for this loader",
        "the loader and hypervisor.elf have different versions",
        "not enough memory for the hypervisor",
        "this CPU has neither VT-x nor AMD-V",
        "the firmware has locked virtualization off (enable it in the firmware's setup)",
        "another hypervisor already uses this CPU's virtualization",
        "this CPU lacks a virtualization feature that zpp needs",
        "the CPU refused the VM entry",
        "the hypervisor was called out of order",
    };
    return (unsigned)status < ZPP_STATUS_COUNT ? text[status] : "unknown status";
}

#endif
