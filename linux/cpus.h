/* The hypervisor on each CPU of the machine. */
#ifndef ZPP_LINUX_CPUS_H
#define ZPP_LINUX_CPUS_H

#include "loader/loader.h"

#include <linux/cpumask.h>

/* The core numbers the CPUs from 0, in the order of Linux's CPU numbers: this is a CPU's index. */
struct zpp_cpus {
    struct zpp_loader loader;
    u32 count;
    u32 *index;              /* by Linux's CPU number */
    u32 *apic_ids;           /* by index */
    enum zpp_status *status; /* by index: the result of the last call of the loader */
    bool launched;           /* on every online CPU */
};

/* Assigns an index to each CPU of the mask. Returns false if there is not enough memory. */
bool zpp_cpus_init(struct zpp_cpus *cpus, const struct cpumask *mask);
void zpp_cpus_free(struct zpp_cpus *cpus);

/* The caller of these functions holds cpus_read_lock(). */

/* Prepares the loader, on the BSP. */
enum zpp_status zpp_cpus_prepare(struct zpp_cpus *cpus, const struct zpp_loader_request *request);

/* Launches on every online CPU; if the BSP fails, on no other. After a failure *failed is the first CPU
 * that failed; the others stay virtualized until zpp_cpus_devirtualize(). */
enum zpp_status zpp_cpus_launch(struct zpp_cpus *cpus, unsigned *failed);

/* The detail of a CPU's failure, a string in the hypervisor's memory. */
const char *zpp_cpus_detail(const struct zpp_cpus *cpus, unsigned cpu);

/* Devirtualizes every online CPU that is virtualized. Returns false if one stays virtualized. The only
 * online CPU may have its interrupts off. */
bool zpp_cpus_devirtualize(struct zpp_cpus *cpus);

/* Launches on the current CPU, which came online later. The calling thread must be bound to it. */
enum zpp_status zpp_cpus_launch_this(struct zpp_cpus *cpus);

#endif
