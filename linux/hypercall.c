#include "hypercall.h"

#include <linux/irqflags.h>

enum zpp_hypercall_status zpp_hypercall(enum zpp_hypercall number,
                                        struct zpp_hypercall_registers *registers)
{
    u64 status = ZPP_HYPERCALL_UNKNOWN;
    unsigned long flags;
    local_irq_save(flags); /* stay on this CPU, and prevent its devirtualization */
    if (zpp_cpu_is_held())
        status = zpp_cpu_hypercall(number, registers);
    local_irq_restore(flags);
    return status;
}
