/*
 * The only code that runs both on the OS's page tables and on the core's: it is mapped at the same
 * addresses in both. System V calling convention on every OS.
 */
#ifndef ZPP_LOADER_TRAMPOLINE_H
#define ZPP_LOADER_TRAMPOLINE_H

#include "zpp/boot_info.h"

#define ZPP_SYSV __attribute__((sysv_abi))

/* Calls the core with call->phase. Returns call->status, or 0 (ZPP_OK) as a guest after a launch.
 * call->os must be captured, interrupts be off. */
ZPP_SYSV uint64_t zpp_trampoline_call(struct zpp_cpu_call *call);

/* Asks the core to leave VMX or SVM operation on this CPU: ZPP_HYPERCALL_DEVIRTUALIZE. Returns an
 * enum zpp_hypercall_status. Interrupts must be off. */
ZPP_SYSV uint64_t zpp_trampoline_devirtualize(struct zpp_cpu_call *call);

/* Addresses, not functions: the bounds, and where the core jumps (R12 = call) to leave. */
extern const char zpp_trampoline_start[], zpp_trampoline_end[], zpp_trampoline_leave[];

#endif
