/* The hypervisor on each CPU of the machine. */
#ifndef ZPP_LINUX_CPUS_H
#define ZPP_LINUX_CPUS_H

#include "loader/loader.h"

#include <linux/cpumask.h>

/* The kernel's CPUs by the core's index, and the reverse. */
struct zpp_cpus {
    struct zpp_loader loader;
    u32 count;
    u32 *index;              /* of each CPU of the kernel */
    u32 *apic_ids;           /* by index */
    enum zpp_status *status; /* by index: what its launch answered */
};

/* An index for each CPU of the mask. False without memory. */
bool zpp_cpus_find(struct zpp_cpus *cpus, const struct cpumask *mask);
void zpp_cpus_forget(struct zpp_cpus *cpus);

/* All with cpus_read_lock() held. */

/* Prepares the loader, on the BSP. */
enum zpp_status zpp_cpus_prepare(struct zpp_cpus *cpus, const struct zpp_loader_request *request);

/* On every online CPU, unless the BSP fails; *failed is then the first that did. Those that did not
 * fail are held all the same, until they are given back. */
enum zpp_status zpp_cpus_launch(struct zpp_cpus *cpus, unsigned *failed);

/* What the failure of a CPU is about; it lies in the hypervisor's memory. */
const char *zpp_cpus_detail(const struct zpp_cpus *cpus, unsigned cpu);

/* Gives every online CPU back that is held. False: one does not come back. */
bool zpp_cpus_devirtualize(struct zpp_cpus *cpus);

/* Launches on this CPU, which came later; by a thread that stays on it. */
enum zpp_status zpp_cpus_launch_this(struct zpp_cpus *cpus);

#endif
