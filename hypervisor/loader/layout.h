/* The layout of the core's memory, in pages from ZPP_CORE_BASE (see boot_info.h). */
#ifndef ZPP_LOADER_LAYOUT_H
#define ZPP_LOADER_LAYOUT_H

#include "elf.h"

struct zpp_layout {
    uint64_t image_pages;
    uint64_t boot_info_page;
    uint64_t log_page;
    uint64_t tables_page, table_pages;
    uint64_t heap_page, heap_pages;
    uint64_t cpu_blocks_page;
    uint64_t calls_page;
    uint64_t total_pages;
};

struct zpp_layout zpp_layout_of(const struct elf_header *elf, uint32_t cpu_count);

#endif
