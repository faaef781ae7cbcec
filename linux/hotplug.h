/* CPUs that come and go while the module stays (keep=1). */
#ifndef ZPP_LINUX_HOTPLUG_H
#define ZPP_LINUX_HOTPLUG_H

#include "cpus.h"

/* Both with cpus_read_lock() held. From now on a CPU that comes is launched as soon as it can run a
 * thread, and the module cannot be unloaded while a held CPU is offline. 0 or a negative error number. */
int zpp_hotplug_watch(struct zpp_cpus *cpus);
void zpp_hotplug_ignore(void);

/* Brings the held CPUs online that are offline; without cpus_read_lock(). */
void zpp_hotplug_bring_back(void);

/* Whether a held CPU is still offline. */
bool zpp_hotplug_any_away(void);

#endif
