/* Why the hypervisor must not be loaded into this system now. */
#ifndef ZPP_LINUX_REFUSAL_H
#define ZPP_LINUX_REFUSAL_H

#include <zpp/status.h>

/* 0, or a negative error number after a line in the kernel's log. cpus_read_lock() is held. */
int zpp_refusal(void);

/* A failure that is not of one CPU alone. */
#define ZPP_NO_CPU (-1)

/* The same for a status of the loader or the core on a CPU. */
int zpp_refusal_of(int cpu, enum zpp_status status, const char *detail);

#endif
