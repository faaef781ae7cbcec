/*
 * The contract between a loader and the core. Plain C; both sides assert its layout.
 *
 * The loader (hypervisor/loader/, shared by UEFI, Linux and Windows) maps its memory ranges, in
 * their order, to one contiguous range of host-virtual addresses:
 *
 *   ZPP_CORE_BASE  hypervisor.elf, segment by segment (text RX, read-only data R, data RW)
 *                  struct zpp_boot_info
 *                  struct zpp_log_record (zpp/log_record.h), physically contiguous if possible
 *                  page tables that map all of this, and of the OS only the trampoline
 *                  heap: pages that the core allocates at PREPARE
 *   64 KiB aligned one block of ZPP_CPU_BLOCK_SIZE for each CPU, its host stack at the top
 *                  struct zpp_cpu_call for each CPU, ZPP_CALLS_PER_PAGE to a page
 *
 * From the launch on the guest cannot see any of it except the last part.
 *
 * The loader then switches to these page tables and calls the core's entry, in phases:
 *
 *   PREPARE once, on any CPU     builds what all CPUs share
 *   LAUNCH  on each CPU          the OS on this CPU continues as a guest
 *
 * and ends with ZPP_HYPERCALL_COMMIT, the point of no return: after it the core cannot be
 * devirtualized and does not read struct zpp_cpu_call. A loader that devirtualizes later, or
 * launches hot-plugged CPUs later, does not commit.
 *
 * Launch the BSP first: it sends INIT to the others, and on AMD-V an INIT that bypasses the core
 * must not reach a launched CPU. Before COMMIT the loader rolls a failure back with
 * ZPP_HYPERCALL_DEVIRTUALIZE on each launched CPU; the machine then continues as before. The core
 * never calls the loader or the OS.
 */
#ifndef ZPP_BOOT_INFO_H
#define ZPP_BOOT_INFO_H

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
#define ZPP_STATIC_ASSERT static_assert
#else
#ifndef ZPP_NO_STDINT /* defined where the environment has its own integer types */
#include <stddef.h>
#include <stdint.h>
#endif
#define ZPP_STATIC_ASSERT _Static_assert
#endif

#define ZPP_PAGE_SIZE 4096ull

/* PML4 entry 320 of the host's own page tables (PML5 entry 511 under LA57). */
#define ZPP_CORE_BASE 0xffffa00000000000ull

#define ZPP_BOOT_INFO_MAGIC 0x746f6f422d70707aull /* "zpp-Boot" */
#define ZPP_BOOT_INFO_VERSION 7u

/* A CPU's block, in pages: 0 the vCPU, 1 to 3 control blocks, 4 to 9 windows (the core maps
 * pages of the guest there), 10 the double-fault stack, 11 a guard page, 12 to 15 the host
 * stack. The loader does not map the windows and the guard page. The last window is never
 * writable, so it is a guard page too. */
#define ZPP_CPU_BLOCK_SIZE 0x10000ull
#define ZPP_CPU_BLOCK_PAGES (ZPP_CPU_BLOCK_SIZE / ZPP_PAGE_SIZE)
#define ZPP_CPU_WINDOW_PAGE 4u
#define ZPP_CPU_WINDOWS 6u
#define ZPP_CPU_FAULT_STACK_PAGE (ZPP_CPU_WINDOW_PAGE + ZPP_CPU_WINDOWS)
#define ZPP_CPU_STACK_GUARD_PAGE (ZPP_CPU_FAULT_STACK_PAGE + 1)

/* A CPU that may be hot-plugged later; it gets its ID when it is launched. */
#define ZPP_NO_APIC_ID 0xffffffffu

enum zpp_phase { ZPP_PHASE_PREPARE = 0, ZPP_PHASE_LAUNCH = 1 };

/* A physically contiguous range: 4 KiB-aligned host-physical address and length in pages. */
struct zpp_memory_range {
    uint64_t physical;
    uint64_t pages;
};

#define ZPP_MEMORY_RANGES_MAX 64u

/* The last base port of a UART, which has eight ports. */
#define ZPP_SERIAL_PORT_MAX 0xfff8u

/* Of trace_port. */
#define ZPP_TRACE_PORT_MAX ZPP_SERIAL_PORT_MAX

/* Of reset_after, in seconds. */
#define ZPP_RESET_AFTER_DEFAULT 10u
#define ZPP_RESET_AFTER_MAX 3600u

enum zpp_pixel_format {
    ZPP_PIXELS_NONE = 0, /* no frame buffer that the core can use */
    ZPP_PIXELS_RGB = 1,  /* 4 bytes: red, green, blue, unused */
    ZPP_PIXELS_BGR = 2,  /* 4 bytes: blue, green, red, unused */
};

/* Where the core paints its crash report: the firmware's linear frame buffer at the launch. */
struct zpp_frame_buffer {
    uint64_t physical;
    uint64_t size; /* in bytes */
    uint32_t width, height;
    uint32_t stride; /* pixels from one line to the next */
    uint32_t format; /* enum zpp_pixel_format */
    /* The base address register of PCI configuration space that leads there, as an address for port
     * CF8H; 0: none. The core paints only while it still does. */
    uint32_t pci_register;
    uint32_t reserved;
};

/* Where the system puts the machine to sleep, from ACPI's FADT; zeros: the core does not see it. */
struct zpp_sleep_registers {
    uint64_t facs;         /* physical address of the FACS */
    uint16_t pm1a_control; /* I/O port of PM1a_CNT */
    uint16_t reserved[3];
};

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
    uint64_t log_page; /* first page of the struct zpp_log_record; zeroed by the loader */

    /* The loader's trampoline, mapped at the same virtual addresses in the OS and, until COMMIT,
     * in the core. To devirtualize a CPU the core jumps to trampoline_leave, R12 = struct
     * zpp_cpu_call. */
    uint64_t trampoline_start;
    uint64_t trampoline_end;
    uint64_t trampoline_leave;

    /* I/O port of a 16550 UART for the log (0x3f8 for COM1), 0 for none. */
    uint16_t serial_port;
    uint8_t wait_for_debugger; /* 1: spin on gdb_attached in PREPARE */
    uint8_t visible;           /* 1: show zpp in CPUID (zpp/hypercall.h) */
    uint16_t reset_after;      /* seconds from a crash of the core to the reset; 0: no reset */
    uint16_t trace_port;       /* debug port for the trace of VM exits (zpp/trace.h); 0: no trace */

    struct zpp_frame_buffer frame_buffer;
    struct zpp_sleep_registers sleep;

    struct zpp_memory_range ranges[ZPP_MEMORY_RANGES_MAX];
};

/* A segment register: base, limit in bytes, access rights as in the VMCS (SDM Vol. 3C, 25.4.1). */
struct zpp_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t reserved;
    uint32_t access_rights;
    uint32_t reserved2;
};

/* The operand of LGDT and LIDT starts at `limit`, right before `base`. */
struct zpp_table_register {
    uint16_t reserved[3];
    uint16_t limit;
    uint64_t base;
};

/* The OS's state of a CPU: where the guest starts, and what devirtualizing restores. */
struct zpp_cpu_state {
    uint64_t rsp, rip, rflags;
    uint64_t cr0, cr3, cr4, efer;
    struct zpp_table_register gdtr, idtr;
    struct zpp_segment es, cs, ss, ds, fs, gs, ldtr, tr;
};

/* A call of the core by a CPU. */
struct zpp_cpu_call {
    struct zpp_cpu_state os;
    uint64_t core_stack; /* host-virtual address of the top of this CPU's host stack */
    uint64_t entry;      /* host-virtual address of the core's entry */
    uint64_t core_cr3;   /* CR3 during the call */
    uint64_t core_call;  /* host-virtual address of this structure */
    uint64_t os_call;    /* address of this structure in the OS */
    uint64_t boot_info;  /* host-virtual address of struct zpp_boot_info */
    uint32_t phase;      /* enum zpp_phase */
    uint32_t cpu;        /* 0 .. cpu_count - 1 */
    uint32_t status;     /* enum zpp_status, written by the core */
    uint32_t launched;   /* 1 while this CPU is a guest; set by the loader */
    uint32_t apic_id;    /* of the local APIC (x2APIC ID if it has more than 8 bits), or */
                         /* ZPP_NO_APIC_ID: this CPU is not plugged in yet */
    uint32_t amd;        /* set by the loader: the hypercall is VMMCALL */

    /* Written by the core: detail of a failing status, such as "unrestricted guest".
     * Zero-terminated ASCII, often empty. */
    char detail[160];
};

#define ZPP_CALLS_PER_PAGE (ZPP_PAGE_SIZE / sizeof(struct zpp_cpu_call))

ZPP_STATIC_ASSERT(sizeof(struct zpp_segment) == 24, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_table_register) == 16, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_frame_buffer) == 40, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_sleep_registers) == 16, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_cpu_state) == 7 * 8 + 2 * 16 + 8 * 24, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_cpu_call) == 512, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_boot_info) <= ZPP_PAGE_SIZE, "one page");

#endif
