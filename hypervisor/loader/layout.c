#include "layout.h"
#include "cpu.h"
#include "zpp/log_record.h"

enum {
    /* MSR and I/O bitmaps, and nested page tables for the first GiBs, where memory types and hidden
     * memory need 4 KiB pages: a table for each GiB that is split, and one for each 2 MiB. */
    HEAP_BASE_PAGES = 68,
    /* The page directory of the frame buffer. */
    FRAME_BUFFER_TABLE_PAGES = 1,
    /* Tables for the trampoline, which may need two of each level, and the upper levels. */
    UPPER_TABLE_PAGES = 12,
};

/* Nested paging maps the whole physical address space: a page-directory-pointer table for each
 * 512 GiB and, without 1 GiB pages, a page directory for each GiB. */
static uint64_t nested_paging_pages(void)
{
    unsigned width = zpp_cpu_physical_address_bits();
    uint64_t pointer_tables = width > 39 ? 1ull << (width - 39) : 1;
    uint64_t top_tables = width > 48 ? 1 + (1ull << (width - 48)) : 1;
    uint64_t directories = zpp_cpu_has_large_nested_pages() ? 0
                           : width > 30                     ? 1ull << (width - 30)
                                                            : 1;
    return top_tables + pointer_tables + directories;
}

/* The core maps a window for each CPU outside the layout: a page table each, and their page
 * directories, which have 512 entries. */
static uint64_t window_table_pages(uint32_t cpu_count) { return cpu_count + cpu_count / 512 + 1; }

struct zpp_layout zpp_layout_of(const struct elf_header *elf, uint32_t cpu_count)
{
    struct zpp_layout layout;
    layout.image_pages = zpp_elf_pages(elf);
    layout.heap_pages = HEAP_BASE_PAGES + FRAME_BUFFER_TABLE_PAGES + nested_paging_pages() +
                        window_table_pages(cpu_count);
    uint64_t cpu_pages = (uint64_t)cpu_count * ZPP_CPU_BLOCK_PAGES;
    uint64_t content = layout.image_pages + ZPP_LOG_PAGES + layout.heap_pages + cpu_pages;
    /* A table maps 512 pages: the content, the tables themselves, the calls, and rounding. */
    layout.table_pages = UPPER_TABLE_PAGES + content / 504 + 2;
    layout.boot_info_page = layout.image_pages;
    layout.log_page = layout.boot_info_page + 1;
    layout.tables_page = layout.log_page + ZPP_LOG_PAGES;
    layout.heap_page = layout.tables_page + layout.table_pages;
    uint64_t heap_end = layout.heap_page + layout.heap_pages;
    layout.cpu_blocks_page =
        (heap_end + ZPP_CPU_BLOCK_PAGES - 1) / ZPP_CPU_BLOCK_PAGES * ZPP_CPU_BLOCK_PAGES;
    layout.heap_pages += layout.cpu_blocks_page - heap_end;
    layout.calls_page = layout.cpu_blocks_page + cpu_pages;
    layout.total_pages = layout.calls_page + cpu_count / ZPP_CALLS_PER_PAGE + 1;
    return layout;
}
