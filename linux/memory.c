#include "memory.h"

#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>

/* What the page allocator gives at most in one piece on x86: order 10. */
#define LARGEST_PIECE 1024ull

/* The new piece often lies beside the last one. */
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

/* The pages of one more piece, at most `most`; 0 if there are none left. */
static u64 allocate_piece(struct zpp_memory *memory, u64 most)
{
    u64 pages;
    for (pages = min(most, LARGEST_PIECE); pages != 0; pages /= 2) {
        void *piece =
            alloc_pages_exact(pages * ZPP_PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
        if (!piece)
            continue;
        if (append(memory, virt_to_phys(piece), pages))
            return pages;
        free_pages_exact(piece, pages * ZPP_PAGE_SIZE);
        return 0;
    }
    return 0;
}

bool zpp_memory_allocate(struct zpp_memory *memory, u64 pages)
{
    memory->count = 0;
    while (pages != 0) {
        const u64 piece = allocate_piece(memory, pages);
        if (piece == 0) {
            zpp_memory_free(memory);
            return false;
        }
        pages -= piece;
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
