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

/* Both with cpus_read_lock() held, and the loader prepared. A launch that fails on one CPU leaves
 * all as they were; then false of the second means that one could not be given back. */
enum zpp_status zpp_cpus_launch(struct zpp_cpus *cpus);
bool zpp_cpus_devirtualize(struct zpp_cpus *cpus);

/* Launches on this CPU, which came later; by a thread that stays on it. */
enum zpp_status zpp_cpus_launch_this(struct zpp_cpus *cpus);

#endif
