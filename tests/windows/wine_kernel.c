/* The functions that the driver calls and Wine's kernel lacks. A CPU is a variable of the thread, and
 * contiguous memory is pool memory. */
#include "wine_kernel.h"
#include "kernel.h"
#include "zpp/boot_info.h"
#include <stdint.h>

#define GROUP_SIZE 2 /* for several groups on a machine with 4 CPUs */

uint32_t zpp_wine_cpu;

uint32_t zpp_wine_cpus(void) { return 4; }

ULONG NTAPI KeQueryActiveProcessorCountEx(USHORT group)
{
    return group == ALL_PROCESSOR_GROUPS ? zpp_wine_cpus() : GROUP_SIZE;
}

NTSTATUS NTAPI KeGetProcessorNumberFromIndex(ULONG index, PROCESSOR_NUMBER *number)
{
    if (index >= zpp_wine_cpus())
        return STATUS_INVALID_PARAMETER;
    number->Group = (USHORT)(index / GROUP_SIZE);
    number->Number = (UCHAR)(index % GROUP_SIZE);
    number->Reserved = 0;
    return STATUS_SUCCESS;
}

ULONG NTAPI KeGetCurrentProcessorNumberEx(PROCESSOR_NUMBER *number)
{
    if (number)
        KeGetProcessorNumberFromIndex(zpp_wine_cpu, number);
    return zpp_wine_cpu;
}

VOID NTAPI KeSetSystemGroupAffinityThread(GROUP_AFFINITY *affinity, GROUP_AFFINITY *before)
{
    before->Mask = 0;
    zpp_wine_cpu = affinity->Group * GROUP_SIZE + (affinity->Mask == 2);
    DbgPrint("test: on CPU %lu\n", zpp_wine_cpu);
}

VOID NTAPI KeRevertToUserGroupAffinityThread(GROUP_AFFINITY *before) { (void)before; }

PVOID NTAPI MmAllocateContiguousNodeMemory(SIZE_T bytes, PHYSICAL_ADDRESS lowest,
                                           PHYSICAL_ADDRESS highest, PHYSICAL_ADDRESS boundary,
                                           ULONG protect, NODE_REQUIREMENT node)
{
    (void)lowest, (void)highest, (void)boundary, (void)protect, (void)node;
    if (bytes > 100 * ZPP_PAGE_SIZE) /* so that there are several ranges */
        return NULL;
    /* Pool of a page and more is aligned to pages in Windows, not in Wine. */
    char *pool = ExAllocatePoolWithTag(NonPagedPoolNx, bytes + ZPP_PAGE_SIZE, ZPP_POOL_TAG);
    char *aligned = (char *)(((uintptr_t)pool + ZPP_PAGE_SIZE) & ~(ZPP_PAGE_SIZE - 1));
    ((void **)aligned)[-1] = pool;
    DbgPrint("test: allocated %p\n", aligned);
    return aligned;
}

VOID NTAPI MmFreeContiguousMemory(PVOID address)
{
    DbgPrint("test: freed %p\n", address);
    ExFreePoolWithTag(((void **)address)[-1], ZPP_POOL_TAG);
}
