#include "loader.h"
#include "cpu.h"
#include "layout.h"
#include "paging.h"
#include "trampoline.h"
#include "zpp/hypercall.h"
#include "zpp/log_record.h"

/* In assembly: the compiler would turn loops into memcpy and memset, which not every loader has. */
static void copy(void *to, const void *from, uint64_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static void zero_page(void *page)
{
    uint64_t words = ZPP_PAGE_SIZE / 8;
    __asm__ volatile("rep stosq" : "+D"(page), "+c"(words) : "a"(0ull) : "memory");
}

/* State of a zpp_loader_prepare(). */
struct placement {
    const struct zpp_loader_request *request;
    const struct elf_header *elf;
    struct zpp_layout layout;
    struct zpp_paging paging;
    uint64_t next_table;
};

static uint64_t physical_of_page(const struct zpp_memory_range *ranges, uint32_t count,
                                 uint64_t page)
{
    for (uint32_t i = 0; i < count; ++i) {
        if (page < ranges[i].pages)
            return ranges[i].physical + page * ZPP_PAGE_SIZE;
        page -= ranges[i].pages;
    }
    return 0;
}

static uint64_t page_address(const struct placement *placement, uint64_t page)
{
    return physical_of_page(placement->request->ranges, placement->request->range_count, page);
}

static void *page_pointer(const struct placement *placement, uint64_t page)
{
    const struct zpp_os *os = &placement->request->os;
    return os->virtual_of(os->context, page_address(placement, page));
}

static uint64_t new_table(void *context)
{
    struct placement *placement = context;
    uint64_t end = placement->layout.tables_page + placement->layout.table_pages;
    return placement->next_table < end ? page_address(placement, placement->next_table++) : 0;
}

static int ranges_hold(const struct zpp_loader_request *request, uint64_t pages)
{
    uint64_t sum = 0;
    if (request->range_count > ZPP_MEMORY_RANGES_MAX)
        return 0;
    for (uint32_t i = 0; i < request->range_count; ++i)
        sum += request->ranges[i].pages;
    return sum >= pages;
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void place_segment(const struct placement *placement, const struct elf_segment *segment)
{
    const uint8_t *bytes = (const uint8_t *)placement->elf + segment->offset;
    uint64_t page = segment->virtual_address / ZPP_PAGE_SIZE;
    for (uint64_t done = 0; done < segment->file_size; done += ZPP_PAGE_SIZE)
        copy(page_pointer(placement, page++), bytes + done,
             smaller(ZPP_PAGE_SIZE, segment->file_size - done));
}

static void relocate(const struct placement *placement)
{
    uint64_t count;
    const struct elf_relocation *relocations = zpp_elf_relocations(placement->elf, &count);
    for (uint64_t i = 0; i < count; ++i) {
        uint8_t *page = page_pointer(placement, relocations[i].offset / ZPP_PAGE_SIZE);
        *(uint64_t *)(page + relocations[i].offset % ZPP_PAGE_SIZE) =
            ZPP_CORE_BASE + (uint64_t)relocations[i].addend;
    }
}

static void place_image(const struct placement *placement)
{
    const struct elf_segment *segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(placement->elf, i)) != 0; ++i)
        if (segment->type == ELF_SEGMENT_LOAD)
            place_segment(placement, segment);
    relocate(placement);
}

static enum zpp_page_access segment_access(const struct elf_segment *segment)
{
    return segment->flags & ELF_FLAG_EXECUTE ? ZPP_PAGE_EXECUTE
           : segment->flags & ELF_FLAG_WRITE ? ZPP_PAGE_WRITE
                                             : ZPP_PAGE_READ;
}

static int map_page(struct placement *placement, uint64_t page, enum zpp_page_access access)
{
    return zpp_paging_map(&placement->paging, ZPP_CORE_BASE + page * ZPP_PAGE_SIZE,
                          page_address(placement, page), access);
}

static int map_image(struct placement *placement)
{
    const struct elf_segment *segment;
    for (unsigned i = 0; (segment = zpp_elf_segment(placement->elf, i)) != 0; ++i) {
        if (segment->type != ELF_SEGMENT_LOAD)
            continue;
        for (uint64_t offset = 0; offset < segment->memory_size; offset += ZPP_PAGE_SIZE)
            if (!map_page(placement, (segment->virtual_address + offset) / ZPP_PAGE_SIZE,
                          segment_access(segment)))
                return 0;
    }
    return 1;
}

static int is_unmapped(const struct zpp_layout *layout, uint64_t page)
{
    if (page < layout->cpu_blocks_page || page >= layout->calls_page)
        return 0;
    uint64_t in_block = (page - layout->cpu_blocks_page) % ZPP_CPU_BLOCK_PAGES;
    return in_block == ZPP_CPU_STACK_GUARD_PAGE ||
           (in_block >= ZPP_CPU_WINDOW_PAGE && in_block < ZPP_CPU_WINDOW_PAGE + ZPP_CPU_WINDOWS);
}

static int map_data(struct placement *placement)
{
    for (uint64_t page = placement->layout.boot_info_page; page < placement->layout.total_pages;
         ++page)
        if (!is_unmapped(&placement->layout, page) && !map_page(placement, page, ZPP_PAGE_WRITE))
            return 0;
    return 1;
}

static int map_trampoline(struct placement *placement)
{
    const struct zpp_os *os = &placement->request->os;
    uintptr_t end = (uintptr_t)zpp_trampoline_end;
    for (uintptr_t page = (uintptr_t)zpp_trampoline_start & ~(ZPP_PAGE_SIZE - 1); page < end;
         page += ZPP_PAGE_SIZE)
        if (!zpp_paging_map(&placement->paging, page, os->physical_of(os->context, (void *)page),
                            ZPP_PAGE_EXECUTE))
            return 0;
    return 1;
}

static void fill_boot_info(const struct placement *placement, struct zpp_boot_info *info)
{
    const struct zpp_loader_request *request = placement->request;
    info->magic = ZPP_BOOT_INFO_MAGIC;
    info->version = ZPP_BOOT_INFO_VERSION;
    info->size = sizeof *info;
    info->cpu_count = request->cpu_count;
    info->range_count = request->range_count;
    info->heap_page = placement->layout.heap_page;
    info->heap_pages = placement->layout.heap_pages;
    info->cpu_blocks_page = placement->layout.cpu_blocks_page;
    info->calls_page = placement->layout.calls_page;
    info->total_pages = placement->layout.total_pages;
    info->log_page = placement->layout.log_page;
    info->trampoline_start = (uintptr_t)zpp_trampoline_start;
    info->trampoline_end = (uintptr_t)zpp_trampoline_end;
    info->trampoline_leave = (uintptr_t)zpp_trampoline_leave;
    info->serial_port = request->serial_port;
    info->wait_for_debugger = request->wait_for_debugger;
    info->visible = request->visible;
    info->reset_after = request->reset_after;
    info->trace_port = request->trace_port;
    info->frame_buffer = request->frame_buffer;
    info->sleep = request->sleep;
    copy(info->ranges, request->ranges, request->range_count * sizeof request->ranges[0]);
}

static void fill_loader(const struct placement *placement, struct zpp_loader *loader)
{
    const struct zpp_loader_request *request = placement->request;
    loader->os = request->os;
    loader->cpu_count = request->cpu_count;
    loader->range_count = request->range_count;
    loader->calls_page = placement->layout.calls_page;
    loader->log_page = placement->layout.log_page;
    copy(loader->ranges, request->ranges, request->range_count * sizeof request->ranges[0]);
}

static struct zpp_cpu_call *call_of(const struct zpp_loader *loader, uint32_t cpu)
{
    uint64_t page = loader->calls_page + cpu / ZPP_CALLS_PER_PAGE;
    struct zpp_cpu_call *calls = loader->os.virtual_of(
        loader->os.context, physical_of_page(loader->ranges, loader->range_count, page));
    return &calls[cpu % ZPP_CALLS_PER_PAGE];
}

static void fill_calls(const struct placement *placement, const struct zpp_loader *loader)
{
    const struct zpp_layout *layout = &placement->layout;
    uint64_t blocks = ZPP_CORE_BASE + layout->cpu_blocks_page * ZPP_PAGE_SIZE;
    uint64_t calls = ZPP_CORE_BASE + layout->calls_page * ZPP_PAGE_SIZE;
    for (uint32_t cpu = 0; cpu < placement->request->cpu_count; ++cpu) {
        struct zpp_cpu_call *call = call_of(loader, cpu);
        call->cpu = cpu;
        call->apic_id = placement->request->apic_ids[cpu];
        call->entry = ZPP_CORE_BASE + placement->elf->entry;
        call->core_cr3 = placement->paging.root;
        call->core_stack = blocks + (cpu + 1ull) * ZPP_CPU_BLOCK_SIZE;
        call->core_call = calls + cpu * sizeof *call;
        call->os_call = (uintptr_t)call;
        call->boot_info = ZPP_CORE_BASE + layout->boot_info_page * ZPP_PAGE_SIZE;
    }
}

static enum zpp_status enter(struct zpp_loader *loader, uint32_t cpu, enum zpp_phase phase)
{
    struct zpp_cpu_call *call = call_of(loader, cpu);
    uint64_t rflags = zpp_cpu_interrupts_off();
    zpp_cpu_capture(&call->os);
    call->phase = phase;
    enum zpp_status status = (enum zpp_status)zpp_trampoline_call(call);
    if (phase == ZPP_PHASE_LAUNCH && status == ZPP_OK) {
        call->launched = 1;
    } else if (phase == ZPP_PHASE_LAUNCH) { /* a failed VM entry may have loaded the host's state */
        zpp_cpu_restore(&call->os);
        zpp_trampoline_unblock_nmi();
    }
    zpp_cpu_interrupts_restore(rflags);
    return status;
}

uint64_t zpp_loader_pages(const void *elf, uint64_t elf_size, uint32_t cpu_count)
{
    const struct elf_header *header = zpp_elf_check(elf, elf_size);
    return header ? zpp_layout_of(header, cpu_count).total_pages : 0;
}

enum zpp_status zpp_loader_prepare(struct zpp_loader *loader,
                                   const struct zpp_loader_request *request)
{
    struct placement placement = {.request = request};
    loader->cpu_count = 0; /* no calls yet */
    loader->detail = "";
    placement.elf = zpp_elf_check(request->elf, request->elf_size);
    if (!placement.elf)
        return ZPP_BAD_ELF;
    if (zpp_cpu_is_held())
        return ZPP_IN_USE;
    const struct zpp_requirement *missing = zpp_cpu_missing(ZPP_FOR_LOADER);
    if (missing) {
        loader->detail = missing->detail;
        return missing->status;
    }
    placement.layout = zpp_layout_of(placement.elf, request->cpu_count);
    if (request->cpu_count == 0 || !ranges_hold(request, placement.layout.total_pages))
        return ZPP_NO_MEMORY;
    for (uint64_t page = 0; page < placement.layout.total_pages; ++page)
        zero_page(page_pointer(&placement, page));

    placement.next_table = placement.layout.tables_page;
    placement.paging = (struct zpp_paging){.os = &request->os,
                                           .levels = zpp_cpu_paging_levels(),
                                           .new_table = new_table,
                                           .context = &placement};
    placement.paging.root = new_table(&placement);
    place_image(&placement);
    if (!map_image(&placement) || !map_data(&placement) || !map_trampoline(&placement))
        return ZPP_NO_MEMORY;

    fill_boot_info(&placement, page_pointer(&placement, placement.layout.boot_info_page));
    fill_loader(&placement, loader);
    fill_calls(&placement, loader);
    return enter(loader, 0, ZPP_PHASE_PREPARE);
}

enum zpp_status zpp_loader_launch(struct zpp_loader *loader, uint32_t cpu)
{
    if (cpu >= loader->cpu_count)
        return ZPP_BAD_CALL;
    enum zpp_status status = enter(loader, cpu, ZPP_PHASE_LAUNCH);
    struct zpp_hypercall_registers registers = {0};
    if (status == ZPP_OK)
        zpp_cpu_hypercall(ZPP_HYPERCALL_CONFIRM, &registers);
    return status;
}

enum zpp_status zpp_loader_commit(void)
{
    struct zpp_hypercall_registers registers = {0};
    uint64_t status = zpp_cpu_hypercall(ZPP_HYPERCALL_COMMIT, &registers);
    return status == ZPP_HYPERCALL_OK ? ZPP_OK : ZPP_BAD_CALL;
}

enum zpp_status zpp_loader_devirtualize(struct zpp_loader *loader, uint32_t cpu)
{
    if (cpu >= loader->cpu_count)
        return ZPP_BAD_CALL;
    struct zpp_cpu_call *call = call_of(loader, cpu);
    /* An INIT may have taken the CPU away from the core. */
    if (!call->launched || !zpp_cpu_is_held())
        return ZPP_OK;
    call->amd = zpp_cpu_is_amd();
    uint64_t rflags = zpp_cpu_interrupts_off();
    uint64_t status = zpp_trampoline_devirtualize(call);
    if (status == ZPP_HYPERCALL_OK) {
        zpp_cpu_restore(&call->os);
        zpp_trampoline_unblock_nmi();
        call->launched = 0;
    }
    zpp_cpu_interrupts_restore(rflags);
    return status == ZPP_HYPERCALL_OK ? ZPP_OK : ZPP_BAD_CALL;
}

uint64_t zpp_loader_log_record(const struct zpp_loader *loader)
{
    uint64_t first = physical_of_page(loader->ranges, loader->range_count, loader->log_page);
    for (uint64_t i = 1; i < ZPP_LOG_PAGES; ++i)
        if (physical_of_page(loader->ranges, loader->range_count, loader->log_page + i) !=
            first + i * ZPP_PAGE_SIZE)
            return 0;
    return first;
}

const char *zpp_loader_detail(const struct zpp_loader *loader, uint32_t cpu)
{
    if (cpu < loader->cpu_count)
        return call_of(loader, cpu)->detail;
    return loader->detail ? loader->detail : "";
}
