/* Hypercalls with arguments; see zpp/hypercall.h. */
#ifndef ZPP_LINUX_HYPERCALL_H
#define ZPP_LINUX_HYPERCALL_H

#include <linux/types.h>
#include <zpp/hypercall.h>

struct zpp_hypercall_registers {
    u64 rbx, rcx, rdx, rsi;
};

/* Arguments in, results out. ZPP_HYPERCALL_UNKNOWN on a CPU that zpp does not hold. */
enum zpp_hypercall_status zpp_hypercall(enum zpp_hypercall number,
                                        struct zpp_hypercall_registers *registers);

#endif
