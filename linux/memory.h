/* The hypervisor's memory: pages that the kernel does not use while the hypervisor runs. */
#ifndef ZPP_LINUX_MEMORY_H
#define ZPP_LINUX_MEMORY_H

#include <zpp/boot_info.h>

struct zpp_memory {
    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
    u32 count;
};

/* Allocates the pages in as few ranges as possible. Returns false, with nothing allocated, if there is
 * not enough memory. */
bool zpp_memory_allocate(struct zpp_memory *memory, u64 pages);

void zpp_memory_free(struct zpp_memory *memory);

#endif
