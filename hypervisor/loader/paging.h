/*
 * The core's own page tables (SDM Vol. 3A, 4.5; 4 or 5 levels as the CPU runs now, since LA57
 * cannot change in 64-bit mode).
 */
#ifndef ZPP_LOADER_PAGING_H
#define ZPP_LOADER_PAGING_H

#include "loader.h"

enum zpp_page_access { ZPP_PAGE_READ, ZPP_PAGE_WRITE, ZPP_PAGE_EXECUTE };

struct zpp_paging {
    const struct zpp_os *os;
    uint64_t root;   /* physical address of the top-level table */
    unsigned levels; /* 4 or 5 */
    /* The next free table page: called for each table needed, returns its physical address, or 0
     * when there is none left. Pages come zeroed. */
    uint64_t (*new_table)(void *context);
    void *context;
};

/* Maps one 4 KiB page. Returns 0 if there was no memory for a table. */
int zpp_paging_map(struct zpp_paging *paging, uint64_t virtual_address, uint64_t physical,
                   enum zpp_page_access access);

#endif
