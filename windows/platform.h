/* What this Windows runs on, according to CPUID. */
#ifndef ZPP_WINDOWS_PLATFORM_H
#define ZPP_WINDOWS_PLATFORM_H

enum zpp_platform {
    ZPP_PLATFORM_MACHINE,            /* CPUID shows no hypervisor */
    ZPP_PLATFORM_WINDOWS_HYPERVISOR, /* Windows is the root partition of Hyper-V: VBS, HVCI, WSL 2 … */
    ZPP_PLATFORM_VIRTUAL_MACHINE,    /* Windows is a guest, of Hyper-V or another */
};

enum zpp_platform zpp_platform_find(void);

#endif
