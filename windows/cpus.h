/* Runs a function on each CPU that Windows uses, in all processor groups. */
#ifndef ZPP_WINDOWS_CPUS_H
#define ZPP_WINDOWS_CPUS_H

#include "kernel.h"
#include <stdint.h>

typedef void (*zpp_cpu_function)(void *context, uint32_t cpu);

/* The number of active CPUs in all groups. They are numbered from 0, which is the BSP. */
uint32_t zpp_cpus_count(void);

/* Runs the function on CPU `cpu` at PASSIVE_LEVEL. Returns an error, without running the function, if the
 * thread cannot move to that CPU. */
NTSTATUS zpp_cpus_run(uint32_t cpu, zpp_cpu_function function, void *context);

#endif
