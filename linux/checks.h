/* Checks before the launch, and the report of a failure. */
#ifndef ZPP_LINUX_CHECKS_H
#define ZPP_LINUX_CHECKS_H

#include <zpp/status.h>

/* Checks that the hypervisor can be loaded into this system. Returns 0, or logs the reason and returns
 * a negative error number. The caller holds cpus_read_lock(). */
int zpp_check_system(void);

/* Checks that this module can read the hypervisor that already runs (client=1). Returns and logs as
 * zpp_check_system(). The caller holds cpus_read_lock(). */
int zpp_check_client(void);

/* For a failure that does not concern a single CPU. */
#define ZPP_NO_CPU (-1)

/* Logs a failure of the loader or the core on a CPU, and returns its negative error number. */
int zpp_report_failure(int cpu, enum zpp_status status, const char *detail);

#endif
