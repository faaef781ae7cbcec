/* The hypervisor's memory, and the two address functions that the shared loader wants of an OS. */
#ifndef ZPP_WINDOWS_MEMORY_H
#define ZPP_WINDOWS_MEMORY_H

#include "kernel.h"
#include "loader.h"

struct zpp_memory {
    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
    void *addresses[ZPP_MEMORY_RANGES_MAX]; /* of each range, in the kernel's address space */
    uint32_t count;
};

/* Allocates `pages` pages of 4 KiB, writable and not executable, in as few ranges as there are.
 * They stay after the driver is unloaded, until zpp_memory_free(). 0: there is not enough, and
 * nothing is allocated. */
int zpp_memory_allocate(struct zpp_memory *memory, uint64_t pages);

/* Gives all of it back. */
void zpp_memory_free(struct zpp_memory *memory);

/* struct zpp_os, with the struct zpp_memory as its context. */
void *zpp_memory_virtual_of(void *memory, uint64_t physical);
uint64_t zpp_memory_physical_of(void *memory, const void *virtual_address);

#endif
