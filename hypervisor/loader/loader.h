/*
 * The part of a loader that does not depend on the OS: places and relocates hypervisor.elf, builds
 * the host's page tables, enters the core on every CPU. The loader of an OS provides memory, a way
 * to run a function on every CPU, and the two functions of struct zpp_os.
 *
 *   pages = zpp_loader_pages(elf, size, cpus);              // 1. memory needed
 *   ... allocate it, 4 KiB aligned, in up to ZPP_MEMORY_RANGES_MAX ranges; the OS must never use it
 *   zpp_loader_prepare(&loader, &request);                  // 2. once
 *   ... on the BSP, then on each other CPU n, together or in turn:
 *   zpp_loader_launch(&loader, n);                          // 3.
 *   zpp_loader_commit();                                    // 4. once, on any CPU
 *
 * If 3 fails on any CPU, call zpp_loader_devirtualize(&loader, n) on each CPU, which does nothing
 * on a CPU that was not launched; then the memory can be freed.
 *
 * None of these functions allocates memory or blocks. They call the OS only through struct zpp_os.
 */
#ifndef ZPP_LOADER_H
#define ZPP_LOADER_H

#include "zpp/boot_info.h"
#include "zpp/status.h"

/* Provided by the OS's loader. UEFI is identity-mapped, so there both return their argument. */
struct zpp_os {
    void *context;
    /* Returns a pointer to read and write 4 KiB at this physical address. */
    void *(*virtual_of)(void *context, uint64_t physical);
    /* Returns the physical address of a page of the loader's code. */
    uint64_t (*physical_of)(void *context, const void *virtual_address);
};

struct zpp_loader_request {
    struct zpp_os os;
    const void *elf; /* the whole file hypervisor.elf */
    uint64_t elf_size;
    const struct zpp_memory_range *ranges;
    uint32_t range_count; /* at most ZPP_MEMORY_RANGES_MAX */
    uint32_t cpu_count;
    const uint32_t *apic_ids; /* of each CPU, by its index */
    uint16_t serial_port;     /* 16550 I/O port, 0 for none */
    uint8_t wait_for_debugger;
    uint8_t visible;                      /* whether CPUID shows zpp to the guest */
    uint16_t reset_after;                 /* seconds from a crash to the reset, 0 for no reset */
    uint16_t trace_port;                  /* debug port for the trace of VM exits, 0 for none */
    struct zpp_frame_buffer frame_buffer; /* zeros for none */
    struct zpp_sleep_registers sleep;     /* zeros for none */
};

/* Private to these functions; must exist until commit or rollback. It has copies of what a
 * launched CPU needs, since that cannot see the core's memory. */
struct zpp_loader {
    struct zpp_os os;
    uint32_t cpu_count;
    uint32_t range_count;
    uint64_t calls_page;
    uint64_t log_page;
    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
    const char *detail; /* of a failure before there are calls */
};

/* Pages of 4 KiB to allocate for this ELF and this many CPUs, or 0 if the ELF is not valid. */
uint64_t zpp_loader_pages(const void *elf, uint64_t elf_size, uint32_t cpu_count);

enum zpp_status zpp_loader_prepare(struct zpp_loader *loader,
                                   const struct zpp_loader_request *request);

/* On CPU `cpu`. ZPP_OK: it is now a guest. */
enum zpp_status zpp_loader_launch(struct zpp_loader *loader, uint32_t cpu);

enum zpp_status zpp_loader_commit(void);

/* On CPU `cpu`: devirtualizes it if it was launched. Not after commit. */
enum zpp_status zpp_loader_devirtualize(struct zpp_loader *loader, uint32_t cpu);

/* After prepare: physical address of the core's struct zpp_log_record, or 0 if it is not contiguous. A
 * loader that leaves this address where it can read it after a reset finds the log again. */
uint64_t zpp_loader_log_record(const struct zpp_loader *loader);

/* The detail of the last failing status of CPU `cpu`, such as "unrestricted guest", or an empty
 * string; after a failed prepare that of CPU 0. The text may be in the allocated memory. */
const char *zpp_loader_detail(const struct zpp_loader *loader, uint32_t cpu);

#endif
