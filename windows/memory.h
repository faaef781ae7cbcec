/* The hypervisor's memory, and the address conversion that the shared loader needs. */
#ifndef ZPP_WINDOWS_MEMORY_H
#define ZPP_WINDOWS_MEMORY_H

#include "kernel.h"
#include "loader.h"

struct zpp_memory {
    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
    void *addresses[ZPP_MEMORY_RANGES_MAX]; /* virtual, of each range */
    uint32_t count;
};

/* Allocates 4 KiB pages, writable and not executable, in as few ranges as possible. They stay allocated
 * after the driver is unloaded. Returns 0, with nothing allocated, if there is not enough memory. */
int zpp_memory_allocate(struct zpp_memory *memory, uint64_t pages);

/* Frees all ranges. */
void zpp_memory_free(struct zpp_memory *memory);

/* The functions of struct zpp_os; their context is the struct zpp_memory. */
void *zpp_memory_virtual_of(void *memory, uint64_t physical);
uint64_t zpp_memory_physical_of(void *memory, const void *virtual_address);

#endif
