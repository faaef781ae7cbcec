#include "memory.h"

#define LOWEST_ADDRESS 0x100000 /* the first MiB contains firmware and wake-up code */

static void *allocate_contiguous(uint64_t pages)
{
    PHYSICAL_ADDRESS lowest = {.QuadPart = LOWEST_ADDRESS}, highest = {.QuadPart = -1},
                     boundary = {.QuadPart = 0};
    return MmAllocateContiguousNodeMemory(pages * ZPP_PAGE_SIZE, lowest, highest, boundary,
                                          PAGE_READWRITE, MM_ANY_NODE_OK);
}

/* Appends a range of up to `max_pages`. Returns its pages, 0 if there is no memory left. */
static uint64_t append_range(struct zpp_memory *memory, uint64_t max_pages)
{
    for (uint64_t pages = max_pages; pages != 0; pages /= 2) {
        void *address = allocate_contiguous(pages);
        if (!address)
            continue;
        memory->addresses[memory->count] = address;
        memory->ranges[memory->count].physical = (uint64_t)MmGetPhysicalAddress(address).QuadPart;
        memory->ranges[memory->count].pages = pages;
        ++memory->count;
        return pages;
    }
    return 0;
}

int zpp_memory_allocate(struct zpp_memory *memory, uint64_t pages)
{
    memory->count = 0;
    while (pages != 0) {
        uint64_t allocated =
            memory->count < ZPP_MEMORY_RANGES_MAX ? append_range(memory, pages) : 0;
        if (allocated == 0) {
            zpp_memory_free(memory);
            return 0;
        }
        pages -= allocated;
    }
    return 1;
}

void zpp_memory_free(struct zpp_memory *memory)
{
    while (memory->count != 0)
        MmFreeContiguousMemory(memory->addresses[--memory->count]);
}

void *zpp_memory_virtual_of(void *context, uint64_t physical)
{
    const struct zpp_memory *memory = context;
    for (uint32_t i = 0; i < memory->count; ++i) {
        uint64_t offset = physical - memory->ranges[i].physical;
        if (offset < memory->ranges[i].pages * ZPP_PAGE_SIZE)
            return (uint8_t *)memory->addresses[i] + offset;
    }
    return NULL;
}

uint64_t zpp_memory_physical_of(void *context, const void *virtual_address)
{
    (void)context;
    return (uint64_t)MmGetPhysicalAddress((void *)(uintptr_t)virtual_address).QuadPart;
}
