/*
 * The host's page tables (SDM Vol. 3A, 4.5). They have 4 or 5 levels, as those of the OS: LA57
 * cannot change in 64-bit mode.
 */
#ifndef ZPP_LOADER_PAGING_H
#define ZPP_LOADER_PAGING_H

#include "loader.h"

enum zpp_page_access { ZPP_PAGE_READ, ZPP_PAGE_WRITE, ZPP_PAGE_EXECUTE };

struct zpp_paging {
    const struct zpp_os *os;
    uint64_t root;   /* physical address of the top-level table */
    unsigned levels; /* 4 or 5 */
    /* Allocates a table: returns the physical address of a zeroed page, or 0 if none is left. */
    uint64_t (*new_table)(void *context);
    void *context;
};

/* Maps a 4 KiB page. Returns 0 if there is no memory for a table. */
int zpp_paging_map(struct zpp_paging *paging, uint64_t virtual_address, uint64_t physical,
                   enum zpp_page_access access);

#endif
