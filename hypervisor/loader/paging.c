#include "paging.h"

#define ENTRY_PRESENT (1ull << 0)
#define ENTRY_WRITABLE (1ull << 1)
#define ENTRY_ACCESSED (1ull << 5)
#define ENTRY_DIRTY (1ull << 6)
#define ENTRY_NO_EXECUTE (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

static uint64_t *entry_of(const struct zpp_paging *paging, uint64_t table, uint64_t address,
                          unsigned level)
{
    uint64_t *entries = paging->os->virtual_of(paging->os->context, table);
    return &entries[(address >> (12 + 9 * (level - 1))) & 511];
}

int zpp_paging_map(struct zpp_paging *paging, uint64_t virtual_address, uint64_t physical,
                   enum zpp_page_access access)
{
    uint64_t table = paging->root;
    for (unsigned level = paging->levels; level > 1; --level) {
        uint64_t *entry = entry_of(paging, table, virtual_address, level);
        if (!(*entry & ENTRY_PRESENT)) {
            uint64_t next = paging->new_table(paging->context);
            if (!next)
                return 0;
            *entry = next | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_ACCESSED;
        }
        table = *entry & ENTRY_ADDRESS;
    }
    uint64_t flags = ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY;
    if (access == ZPP_PAGE_WRITE)
        flags |= ENTRY_WRITABLE;
    if (access != ZPP_PAGE_EXECUTE)
        flags |= ENTRY_NO_EXECUTE;
    *entry_of(paging, table, virtual_address, 1) = physical | flags;
    return 1;
}
