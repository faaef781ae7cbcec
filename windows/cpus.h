/* Running a function on each CPU that Windows uses, in all processor groups. */
#ifndef ZPP_WINDOWS_CPUS_H
#define ZPP_WINDOWS_CPUS_H

#include "kernel.h"
#include <stdint.h>

typedef void (*zpp_cpu_function)(void *context, uint32_t cpu);

/* Active CPUs of all groups. Their numbers are 0 .. count - 1, and 0 is the one Windows was
 * started on, the BSP. */
uint32_t zpp_cpus_count(void);

/* Runs the function on CPU `cpu`, at this IRQL, which is PASSIVE_LEVEL. If the thread does not get
 * there, the function does not run, and the status is an error. */
NTSTATUS zpp_cpus_run(uint32_t cpu, zpp_cpu_function function, void *context);

#endif
