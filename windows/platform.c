#include "platform.h"
#include "cpuid.h"

/* Hypervisor Top-Level Functional Specification, 2.4: the CPUID leaves of a compatible hypervisor. */
#define LEAF_VENDOR 0x40000000u
#define LEAF_INTERFACE 0x40000001u
#define LEAF_PRIVILEGES 0x40000003u
#define INTERFACE_MICROSOFT 0x31237648u  /* "Hv#1" */
#define PRIVILEGE_CREATE_PARTITIONS 0x1u /* EBX; only in the root partition */
#define HYPERVISOR_PRESENT (1u << 31)    /* CPUID.1:ECX */

enum zpp_platform zpp_platform_find(void)
{
    if (!(zpp_cpuid(1).ecx & HYPERVISOR_PRESENT))
        return ZPP_PLATFORM_MACHINE;
    if (zpp_cpuid(LEAF_VENDOR).eax >= LEAF_PRIVILEGES &&
        zpp_cpuid(LEAF_INTERFACE).eax == INTERFACE_MICROSOFT &&
        (zpp_cpuid(LEAF_PRIVILEGES).ebx & PRIVILEGE_CREATE_PARTITIONS))
        return ZPP_PLATFORM_WINDOWS_HYPERVISOR;
    return ZPP_PLATFORM_VIRTUAL_MACHINE;
}
