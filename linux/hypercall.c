#include "hypercall.h"
#include "loader/cpu.h"

#include <linux/irqflags.h>

#define CALL(instruction)                                                                          \
    __asm__ volatile(instruction                                                                   \
                     : "+a"(rax), "+b"(registers->rbx), "+c"(registers->rcx),                      \
                       "+d"(registers->rdx), "+S"(registers->rsi)                                  \
                     :                                                                             \
                     : "memory")

enum zpp_hypercall_status zpp_hypercall(enum zpp_hypercall number,
                                        struct zpp_hypercall_registers *registers)
{
    u64 rax = ZPP_HYPERCALL(number);
    unsigned long flags;
    local_irq_save(flags); /* no other CPU, which may be free; and this one is not given back */
    if (!zpp_cpu_is_held())
        rax = ZPP_HYPERCALL_UNKNOWN;
    else if (zpp_cpu_is_amd())
        CALL("vmmcall");
    else
        CALL("vmcall");
    local_irq_restore(flags);
    return rax;
}
