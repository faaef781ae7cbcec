/*
 * The only code that runs both on the OS's page tables and on the host's: both map it at the same
 * addresses. System V calling convention on every OS.
 */
#ifndef ZPP_LOADER_TRAMPOLINE_H
#define ZPP_LOADER_TRAMPOLINE_H

#include "zpp/boot_info.h"

#define ZPP_SYSV __attribute__((sysv_abi))

/* Calls the core with call->phase. Returns call->status; after a launch 0 (ZPP_OK), as a guest.
 * Precondition: call->os is captured, interrupts are disabled. */
ZPP_SYSV uint64_t zpp_trampoline_call(struct zpp_cpu_call *call);

/* ZPP_HYPERCALL_DEVIRTUALIZE on this CPU. Returns an enum zpp_hypercall_status. Precondition:
 * interrupts are disabled. */
ZPP_SYSV uint64_t zpp_trampoline_devirtualize(struct zpp_cpu_call *call);

/* The core leaves a CPU with NMIs blocked, since the OS's handlers need what the trampoline and
 * zpp_cpu_restore() restore. IRET ends that. */
ZPP_SYSV void zpp_trampoline_unblock_nmi(void);

/* Addresses, not functions: the bounds, and the target of the core's last jump (R12 = call). */
extern const char zpp_trampoline_start[], zpp_trampoline_end[], zpp_trampoline_leave[];

#endif
