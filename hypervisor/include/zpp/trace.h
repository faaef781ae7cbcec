/*
 * The trace of VM exits: the packets that the core writes to a debug port (zpp_boot_info.trace_port),
 * for tools. Little-endian; docs/reference/trace-format.md describes the file that contains them.
 * The port may carry other bytes between packets.
 */
#ifndef ZPP_TRACE_H
#define ZPP_TRACE_H

#include "zpp/boot_info.h"

#define ZPP_TRACE_SYNC 0x545au /* "ZT" */
#define ZPP_TRACE_VERSION 1u

/* A read of a debug port of QEMU (isa-debugcon) or Bochs (port_e9_hack) returns this. */
#define ZPP_TRACE_PORT_ID 0xe9u

enum zpp_trace_kind { ZPP_TRACE_START = 0, ZPP_TRACE_EXIT = 1 };

enum zpp_trace_mode {
    ZPP_TRACE_REAL = 0,
    ZPP_TRACE_VIRTUAL_8086 = 1,
    ZPP_TRACE_16_BIT = 2,
    ZPP_TRACE_32_BIT = 3,
    ZPP_TRACE_64_BIT = 4,
};

/* The head of every packet. The sum of all bytes of a packet is 0 modulo 256. */
struct zpp_trace_head {
    uint16_t sync;
    uint8_t kind; /* enum zpp_trace_kind */
    uint8_t check;
};

/* Before the first exit; again after each reset of the machine. */
struct zpp_trace_start {
    struct zpp_trace_head head;
    uint16_t version; /* ZPP_TRACE_VERSION */
    uint16_t vendor;  /* ZPP_FEATURE_VTX or ZPP_FEATURE_AMDV */
    uint32_t zpp_version;
    uint32_t cpu_count;
    uint64_t tsc;
    uint64_t tsc_hz;      /* 0 if unknown */
    uint8_t build_id[20]; /* of hypervisor.elf */
    uint32_t reserved;
};

struct zpp_trace_exit {
    struct zpp_trace_head head;
    uint16_t cpu;
    uint16_t cs;     /* selector */
    uint32_t reason; /* exit reason (VT-x) or exit code (AMD-V) */
    uint8_t mode;    /* enum zpp_trace_mode */
    uint8_t cpl;
    uint16_t reserved;
    uint64_t tsc;
    uint64_t rip;
    uint64_t qualification; /* exit qualification (VT-x) or EXITINFO1 (AMD-V) */
    /* EPT violation, nested page fault: guest-physical address, 0. VT-x, exception or NMI: VM-exit
     * interruption information, its error code. Others: RAX, EDX:ECX. */
    uint64_t operands[2];
};

#define ZPP_TRACE_PACKET_SIZE 56u
ZPP_STATIC_ASSERT(sizeof(struct zpp_trace_start) == ZPP_TRACE_PACKET_SIZE, "layout");
ZPP_STATIC_ASSERT(sizeof(struct zpp_trace_exit) == ZPP_TRACE_PACKET_SIZE, "layout");

#endif
