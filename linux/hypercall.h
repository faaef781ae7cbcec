/* Hypercalls from the module; see zpp/hypercall.h. */
#ifndef ZPP_LINUX_HYPERCALL_H
#define ZPP_LINUX_HYPERCALL_H

#include "loader/cpu.h"

#include <zpp/hypercall.h>

/* As zpp_cpu_hypercall(), but returns ZPP_HYPERCALL_UNKNOWN on a CPU that zpp does not virtualize. */
enum zpp_hypercall_status zpp_hypercall(enum zpp_hypercall number,
                                        struct zpp_hypercall_registers *registers);

#endif
