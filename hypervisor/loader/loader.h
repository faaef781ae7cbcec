/*
 * The part of a loader that does not depend on the OS: place and relocate hypervisor.elf, map it
 * on page tables of its own, enter it on every CPU. A loader for one OS gives memory, a way to run
 * a function on every CPU, and the two address wrappers of struct zpp_os; no more.
 *
 *   pages = zpp_loader_pages(elf, size, cpus);              // 1. how much memory
 *   ... allocate it: reserved from the OS for ever, 4 KiB aligned, any number of ranges
 *   zpp_loader_prepare(&loader, &request);                  // 2. once
 *   ... on the BSP, then on each other CPU n, at once or in turn:
 *   zpp_loader_launch(&loader, n);                          // 3.
 *   zpp_loader_commit();                                    // 4. once, on any CPU
 *
 * If 3 fails on any CPU: zpp_loader_devirtualize(&loader, n) on each CPU (a CPU that was not
 * launched is left alone), then the memory may be freed.
 *
 * None of these functions allocates, blocks, or calls the OS other than through struct zpp_os.
 */
#ifndef ZPP_LOADER_H
#define ZPP_LOADER_H

#include "zpp/boot_info.h"
#include "zpp/status.h"

/* The OS wrappers. The UEFI loader is identity-mapped and returns the argument. */
struct zpp_os {
    void *context;
    /* A pointer through which the loader may read and write 4 KiB at this physical address. */
    void *(*virtual_of)(void *context, uint64_t physical);
    /* The physical address of a page of the loader's own code. */
    uint64_t (*physical_of)(void *context, const void *virtual_address);
};

struct zpp_loader_request {
    struct zpp_os os;
    const void *elf; /* the file hypervisor.elf, whole */
    uint64_t elf_size;
    const struct zpp_memory_range *ranges;
    uint32_t range_count; /* at most ZPP_MEMORY_RANGES_MAX */
    uint32_t cpu_count;
    const uint32_t *apic_ids; /* of each CPU, by its index */
    uint16_t serial_port;     /* 16550 I/O port, 0 for none */
    uint8_t wait_for_debugger;
};

/* Opaque to its owner; must stay until commit or roll-back. What a launched CPU needs is copied
 * here, since the core's memory is hidden from it. */
struct zpp_loader {
    struct zpp_os os;
    uint32_t cpu_count;
    uint32_t range_count;
    uint64_t calls_page;
    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
};

/* Pages of 4 KiB to allocate for this ELF and this many CPUs, or 0 if the ELF is not valid. */
uint64_t zpp_loader_pages(const void *elf, uint64_t elf_size, uint32_t cpu_count);

enum zpp_status zpp_loader_prepare(struct zpp_loader *loader,
                                   const struct zpp_loader_request *request);

/* On the CPU that gets index `cpu`. ZPP_OK: this CPU is now a guest. */
enum zpp_status zpp_loader_launch(struct zpp_loader *loader, uint32_t cpu);

enum zpp_status zpp_loader_commit(void);

/* On CPU `cpu`: leaves VMX or SVM operation if this CPU was launched. Not after commit. */
enum zpp_status zpp_loader_devirtualize(struct zpp_loader *loader, uint32_t cpu);

/* What the last failing status of CPU `cpu` is about ("unrestricted guest"), or an empty string; for a
 * failure to prepare that of CPU 0. It lies in the memory that was allocated. */
const char *zpp_loader_detail(const struct zpp_loader *loader, uint32_t cpu);

#endif
