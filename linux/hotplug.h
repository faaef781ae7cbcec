/* CPU hotplug while the module is kept (keep=1). */
#ifndef ZPP_LINUX_HOTPLUG_H
#define ZPP_LINUX_HOTPLUG_H

#include "cpus.h"

/* From now on a CPU that comes online is launched as soon as it can run a thread, and the module cannot
 * be unloaded while a virtualized CPU is offline. The caller holds cpus_read_lock(). Returns 0 or a
 * negative error number. */
int zpp_hotplug_register(struct zpp_cpus *cpus);
void zpp_hotplug_unregister(void);

/* Devirtualizes every CPU if the hypervisor runs, before the machine sleeps. Returns 0, or logs the
 * reason and returns a negative error number. */
int zpp_hotplug_give_back(void);

/* Brings the offline virtualized CPUs online. The caller does not hold cpus_read_lock(). */
void zpp_hotplug_bring_online(void);

/* Whether a virtualized CPU is offline. */
bool zpp_hotplug_any_offline(void);

#endif
