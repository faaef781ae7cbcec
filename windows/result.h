/* What the driver answers, and why. */
#ifndef ZPP_WINDOWS_ANSWER_H
#define ZPP_WINDOWS_ANSWER_H

#include "kernel.h"
#include "loader.h"

/* Success is a failure to Windows, so that it unloads the driver, which has nothing left to do. */
#define ZPP_STATUS_HELD STATUS_INSUFFICIENT_POWER

struct zpp_answer {
    NTSTATUS status;
    char text[320]; /* one line of ASCII for a person */
};

/* A failure that is not of one CPU alone. */
#define ZPP_NO_CPU 0xffffffffu

/* For a status of the loader or the core, on CPU `cpu`; `detail` may be empty. */
void zpp_answer_failure(struct zpp_answer *answer, uint32_t cpu, enum zpp_status status,
                        const char *detail);

/* For what Windows did not do. */
void zpp_answer_refused(struct zpp_answer *answer, NTSTATUS status, const char *reason);

/* This machine is zpp's already. */
void zpp_answer_held_before(struct zpp_answer *answer);

/* The hypervisor holds `cpus` CPUs. */
void zpp_answer_held(struct zpp_answer *answer, uint32_t cpus, int amd);

#endif
