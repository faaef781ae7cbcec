/*
 * The contract between a loader and the core. Plain C; both sides assert its layout.
 *
 * The loader (hypervisor/loader/, shared by UEFI, Linux and Windows) lays the memory it was given
 * out as one contiguous range of host-virtual addresses, page by page in the order of the ranges:
 *
 *   ZPP_CORE_BASE  hypervisor.elf, segment by segment (text RX, read-only data R, data RW)
 *                  struct zpp_boot_info
 *                  page tables that map all of this, and nothing of the OS but the trampoline
 *                  heap: pages the core hands out while preparing
 *   64 KiB aligned one block of ZPP_CPU_BLOCK_SIZE for each CPU, its host stack at the top
 *                  struct zpp_cpu_call for each CPU, ZPP_CALLS_PER_PAGE to a page
 *
 * All of it but the last part is hidden from the guest from the launch on.
 *
 * Then it calls the core's entry on these page tables, in phases:
 *
 *   PREPARE once, on any CPU     builds what all CPUs share
 *   LAUNCH  on each CPU          the OS on this CPU goes on as a guest
 *
 * and ends with ZPP_HYPERCALL_COMMIT, the point of no return: from then on the core refuses to
 * leave, and reads no struct zpp_cpu_call any more. A loader that wants to leave later, or to launch
 * CPUs that come later, does not commit.
 *
 * The BSP is launched first: on AMD-V an INIT must not reach a launched CPU past the core, so
 * whoever starts the others must be a guest already. Before COMMIT any failure is rolled back with
 * ZPP_HYPERCALL_DEVIRTUALIZE on each launched CPU, and the machine goes on as if nothing had
 * happened. The core never calls the loader or the OS.
 */
#ifndef ZPP_BOOT_INFO_H
#define ZPP_BOOT_INFO_H

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
#define ZPP_STATIC_ASSERT static_assert
#else
#ifndef ZPP_NO_STDINT /* defined by loaders whose environment brings its own integer types */
#include <stddef.h>
#include <stdint.h>
#endif
#define ZPP_STATIC_ASSERT _Static_assert
#endif

#define ZPP_PAGE_SIZE 4096ull

/* PML4 entry 320 of the host's own page tables (PML5 entry 511 under LA57). */
#define ZPP_CORE_BASE 0xffffa00000000000ull

#define ZPP_BOOT_INFO_MAGIC 0x746f6f422d70707aull /* "zpp-Boot" */
#define ZPP_BOOT_INFO_VERSION 3u

/* A CPU's block, in pages: 0 its vCPU, 1 to 3 control blocks, 4 to 9 the windows through which the
 * core looks at pages of the guest, 10 the double-fault stack, 11 guard, 12 to 15 the host stack.
 * The loader leaves the windows and the guard unmapped; a window is never writable, so it guards the
 * stack above it as well. */
#define ZPP_CPU_BLOCK_SIZE 0x10000ull
#define ZPP_CPU_BLOCK_PAGES (ZPP_CPU_BLOCK_SIZE / ZPP_PAGE_SIZE)
#define ZPP_CPU_WINDOW_PAGE 4u
#define ZPP_CPU_WINDOWS 6u
#define ZPP_CPU_FAULT_STACK_PAGE (ZPP_CPU_WINDOW_PAGE + ZPP_CPU_WINDOWS)
#define ZPP_CPU_STACK_GUARD_PAGE (ZPP_CPU_FAULT_STACK_PAGE + 1)

/* A place for a CPU that may come later; it gets its ID when it is launched. */
#define ZPP_NO_APIC_ID 0xffffffffu

enum zpp_phase { ZPP_PHASE_PREPARE = 0, ZPP_PHASE_LAUNCH = 1 };

/* A physically contiguous range: 4 KiB-aligned host-physical address and length in pages. */
struct zpp_memory_range {
    uint64_t physical;
    uint64_t pages;
};

#define ZPP_MEMORY_RANGES_MAX 64u

/* The last I/O port at which all eight of a UART fit. */
#define ZPP_SERIAL_PORT_MAX 0xfff8u

struct zpp_boot_info {
    uint64_t magic;   /* ZPP_BOOT_INFO_MAGIC */
    uint32_t version; /* ZPP_BOOT_INFO_VERSION */
    uint32_t size;    /* sizeof(struct zpp_boot_info) */

    uint32_t cpu_count;
    uint32_t range_count;

    /* Page numbers count from ZPP_CORE_BASE. */
    uint64_t heap_page; /* first page of the heap; zeroed by the loader */
    uint64_t heap_pages;
    uint64_t cpu_blocks_page; /* first page of CPU 0's block */
    uint64_t calls_page;      /* first page of the struct zpp_cpu_call, end of the hidden part */
    uint64_t total_pages;

    /* The loader's trampoline, mapped at the same virtual addresses in the OS and, until COMMIT, in
     * the core, and the place in it where the core jumps, R12 = struct zpp_cpu_call, to leave for
     * good. */
    uint64_t trampoline_start;
    uint64_t trampoline_end;
    uint64_t trampoline_leave;

    /* I/O port of a 16550 UART for the log (0x3f8 for COM1), 0 for none. */
    uint16_t serial_port;
    uint8_t wait_for_debugger; /* 1: spin on gdb_attached in PREPARE */
    uint8_t reserved[5];

    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
};

/* A segment register as the CPU holds it: base and limit in bytes, access rights in the format of
 * the VMCS (SDM Vol. 3C, 25.4.1). */
struct zpp_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t reserved;
    uint32_t access_rights;
    uint32_t reserved2;
};

/* What LGDT and LIDT take, aligned so that `limit` sits right before `base`. */
struct zpp_table_register {
    uint16_t reserved[3];
    uint16_t limit;
    uint64_t base;
};

/* The state of one CPU in its OS: what the guest starts with, and what is restored on leaving. */
struct zpp_cpu_state {
    uint64_t rsp, rip, rflags;
    uint64_t cr0, cr3, cr4, efer;
    struct zpp_table_register gdtr, idtr;
    struct zpp_segment es, cs, ss, ds, fs, gs, ldtr, tr;
};

/* One call of the core by one CPU. */
struct zpp_cpu_call {
    struct zpp_cpu_state os;
    uint64_t core_stack; /* host-virtual address of the top of this CPU's host stack */
    uint64_t entry;      /* host-virtual address of the core's entry */
    uint64_t core_cr3;   /* what to load before the call */
    uint64_t core_call;  /* host-virtual address of this structure */
    uint64_t os_call;    /* address of this structure in the OS */
    uint64_t boot_info;  /* host-virtual address of struct zpp_boot_info */
    uint32_t phase;      /* enum zpp_phase */
    uint32_t cpu;        /* 0 .. cpu_count - 1 */
    uint32_t status;     /* enum zpp_status, written by the core */
    uint32_t launched;   /* 1 while this CPU is a guest; kept by the loader */
    uint32_t apic_id;    /* of the local APIC (x2APIC ID where it has more than 8 bits), or */
                         /* ZPP_NO_APIC_ID: this CPU is not there yet */
    uint32_t amd;        /* the loader's: the hypercall is VMMCALL */

    /* Written by the core: what a failing status is about, such as "unrestricted guest".
     * Zero-terminated ASCII, often empty. */
    char detail[160];
};

#define ZPP_CALLS_PER_PAGE (ZPP_PAGE_SIZE / sizeof(struct zpp_cpu_call))

ZPP_STATIC_ASSERT(sizeof(struct zpp_segment) == 24, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_table_register) == 16, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_cpu_state) == 7 * 8 + 2 * 16 + 8 * 24, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_cpu_call) == 512, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_boot_info) <= ZPP_PAGE_SIZE, "one page");

#endif
