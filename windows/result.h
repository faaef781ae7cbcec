/* The driver's result: an NTSTATUS and a line of text. */
#ifndef ZPP_WINDOWS_RESULT_H
#define ZPP_WINDOWS_RESULT_H

#include "kernel.h"
#include "loader.h"

/* The status of a successful launch. It is an error, so that Windows unloads the driver, which is no longer
 * needed. */
#define ZPP_STATUS_LAUNCHED STATUS_INSUFFICIENT_POWER

struct zpp_result {
    NTSTATUS status;
    char text[320]; /* one line of ASCII */
};

/* For a failure that does not concern a single CPU. */
#define ZPP_NO_CPU 0xffffffffu

/* A failure of the loader or the core, on CPU `cpu`; `detail` may be empty. */
void zpp_result_failed(struct zpp_result *result, uint32_t cpu, enum zpp_status status,
                       const char *detail);

/* A failure of Windows. */
void zpp_result_windows_failed(struct zpp_result *result, NTSTATUS status, const char *reason);

/* zpp is already running on this machine. */
void zpp_result_already_running(struct zpp_result *result);

/* The hypervisor runs on `cpus` CPUs. Warns of Fast Startup if it is on. */
void zpp_result_launched(struct zpp_result *result, uint32_t cpus, int amd, int fast_startup);

#endif
