#include "cpus.h"

uint32_t zpp_cpus_count(void) { return KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS); }

/* The thread goes from CPU to CPU, rather than all CPUs stopping at once for KeIpiGenericCall: the
 * contract wants the BSP first, a failure then leaves the others untouched, and no CPU waits at
 * IPI_LEVEL for hundreds of others. */
NTSTATUS zpp_cpus_run(uint32_t cpu, zpp_cpu_function function, void *context)
{
    PROCESSOR_NUMBER number;
    NTSTATUS status = KeGetProcessorNumberFromIndex(cpu, &number);
    if (!NT_SUCCESS(status))
        return status;
    GROUP_AFFINITY affinity = {.Mask = (KAFFINITY)1 << number.Number, .Group = number.Group};
    GROUP_AFFINITY before = {0};
    KeSetSystemGroupAffinityThread(&affinity, &before);
    /* An affinity that the kernel does not accept changes nothing, and nothing says so. */
    if (KeGetCurrentProcessorNumberEx(NULL) == cpu)
        function(context, cpu);
    else
        status = STATUS_DEVICE_NOT_READY;
    KeRevertToUserGroupAffinityThread(&before);
    return status;
}
