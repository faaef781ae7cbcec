#include "memory.h"

#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>

/* The largest block of the page allocator on x86: order 10. */
#define MAX_BLOCK_PAGES 1024ull

/* Merges the block with the last range if they are adjacent, as they often are. */
static bool append(struct zpp_memory *memory, u64 physical, u64 pages)
{
    struct zpp_memory_range *last = memory->ranges + memory->count - 1;
    if (memory->count != 0 && last->physical + last->pages * ZPP_PAGE_SIZE == physical) {
        last->pages += pages;
        return true;
    }
    if (memory->count != 0 && physical + pages * ZPP_PAGE_SIZE == last->physical) {
        last->physical = physical;
        last->pages += pages;
        return true;
    }
    if (memory->count == ZPP_MEMORY_RANGES_MAX)
        return false;
    memory->ranges[memory->count++] =
        (struct zpp_memory_range){.physical = physical, .pages = pages};
    return true;
}

/* Allocates one block of up to `max_pages`. Returns its pages, 0 if there is no memory left. */
static u64 allocate_block(struct zpp_memory *memory, u64 max_pages)
{
    u64 pages;
    for (pages = min(max_pages, MAX_BLOCK_PAGES); pages != 0; pages /= 2) {
        void *block =
            alloc_pages_exact(pages * ZPP_PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
        if (!block)
            continue;
        if (append(memory, virt_to_phys(block), pages))
            return pages;
        free_pages_exact(block, pages * ZPP_PAGE_SIZE);
        return 0;
    }
    return 0;
}

bool zpp_memory_allocate(struct zpp_memory *memory, u64 pages)
{
    memory->count = 0;
    while (pages != 0) {
        const u64 allocated = allocate_block(memory, pages);
        if (allocated == 0) {
            zpp_memory_free(memory);
            return false;
        }
        pages -= allocated;
    }
    return true;
}

void zpp_memory_free(struct zpp_memory *memory)
{
    while (memory->count != 0) {
        const struct zpp_memory_range *range = &memory->ranges[--memory->count];
        free_pages_exact(phys_to_virt(range->physical), range->pages * ZPP_PAGE_SIZE);
    }
}
