/* The hypervisor's memory: pages of the kernel that it never touches while the hypervisor is there. */
#ifndef ZPP_LINUX_MEMORY_H
#define ZPP_LINUX_MEMORY_H

#include <zpp/boot_info.h>

struct zpp_memory {
    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
    u32 count;
};

/* As few ranges as the kernel can give. False, and nothing allocated, if they do not suffice. */
bool zpp_memory_allocate(struct zpp_memory *memory, u64 pages);

void zpp_memory_free(struct zpp_memory *memory);

#endif
