#include "cpus.h"

uint32_t zpp_cpus_count(void) { return KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS); }

/* The thread moves from CPU to CPU. KeIpiGenericCall would stop all CPUs at once, but the BSP must be
 * launched first, a failure must not affect the other CPUs, and no CPU should wait at IPI_LEVEL for
 * hundreds of others. */
NTSTATUS zpp_cpus_run(uint32_t cpu, zpp_cpu_function function, void *context)
{
    PROCESSOR_NUMBER number;
    NTSTATUS status = KeGetProcessorNumberFromIndex(cpu, &number);
    if (!NT_SUCCESS(status))
        return status;
    GROUP_AFFINITY affinity = {.Mask = (KAFFINITY)1 << number.Number, .Group = number.Group};
    GROUP_AFFINITY before = {0};
    KeSetSystemGroupAffinityThread(&affinity, &before);
    /* If the kernel does not accept the affinity, it reports no error. */
    if (KeGetCurrentProcessorNumberEx(NULL) == cpu)
        function(context, cpu);
    else
        status = STATUS_DEVICE_NOT_READY;
    KeRevertToUserGroupAffinityThread(&before);
    return status;
}
