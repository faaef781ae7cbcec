/*
 * The log of the core, in memory that a warm reset does not clear: the next boot finds it at the
 * address that a UEFI variable has, and saves it. Plain C: shared by the core, which writes it, and
 * the UEFI side, which finds it again.
 *
 * After a power-off, and if the firmware has used or cleared the memory, the record is gone: the
 * reader must check it before it trusts any of it.
 */
#ifndef ZPP_LOG_RECORD_H
#define ZPP_LOG_RECORD_H

#include "zpp/boot_info.h"

#define ZPP_LOG_MAGIC 0x676f4c2d70707a1aull /* 1AH "zpp-Log": not text, so not found in a log */
#define ZPP_LOG_VERSION 1u
#define ZPP_LOG_TEXT_SIZE 0x4000u
#define ZPP_LOG_REASON_SIZE 128u
#define ZPP_LOG_BUILD_ID_SIZE 20u

/* How the boot ended, as far as the core knows. */
enum zpp_log_end {
    ZPP_LOG_RUNNING = 0,      /* it ran: the machine hung, was reset, or has restarted */
    ZPP_LOG_CLEAN = 1,        /* the system said that it would end: ZPP_HYPERCALL_END */
    ZPP_LOG_CRASH = 2,        /* the core crashed */
    ZPP_LOG_TRIPLE_FAULT = 3, /* in the guest; some systems restart so */
};

struct zpp_log_record {
    /* Written at PREPARE. */
    uint64_t magic;    /* ZPP_LOG_MAGIC */
    uint32_t version;  /* ZPP_LOG_VERSION */
    uint32_t size;     /* sizeof(struct zpp_log_record) */
    uint64_t physical; /* its own address */
    uint32_t cpu_count;
    uint32_t zpp_version;
    uint8_t build_id[ZPP_LOG_BUILD_ID_SIZE]; /* of hypervisor.elf */
    uint32_t head_check;                     /* zpp_log_head_check() of what is before it */

    /* Written with each line. */
    uint64_t written;  /* bytes since the start; the next one goes to written % ZPP_LOG_TEXT_SIZE */
    uint32_t text_sum; /* of the bytes in `text` */
    uint32_t end;      /* enum zpp_log_end */
    char reason[ZPP_LOG_REASON_SIZE]; /* of the end, if it has one; zero-terminated ASCII */
    uint8_t reserved[56];

    char text[ZPP_LOG_TEXT_SIZE]; /* a ring; zeros where nothing is written yet */
};

#define ZPP_LOG_PAGES ((sizeof(struct zpp_log_record) + ZPP_PAGE_SIZE - 1) / ZPP_PAGE_SIZE)

/* FNV-1a, 32 bits, of the bytes before `head_check`. */
static inline uint32_t zpp_log_head_check(const struct zpp_log_record *record)
{
    const uint8_t *bytes = (const uint8_t *)record;
    uint32_t hash = 0x811c9dc5u;
    for (unsigned i = 0; i < offsetof(struct zpp_log_record, head_check); ++i)
        hash = (hash ^ bytes[i]) * 0x01000193u;
    return hash;
}

/* Whether the memory at this physical address is a record of this version, not what another program
 * has left there. Its text may have lost some bytes nevertheless: zpp_log_text_is_whole(). */
static inline int zpp_log_is_record(const struct zpp_log_record *record, uint64_t physical)
{
    return record->magic == ZPP_LOG_MAGIC && record->version == ZPP_LOG_VERSION &&
           record->size == sizeof *record && record->physical == physical &&
           record->head_check == zpp_log_head_check(record) && record->end <= ZPP_LOG_TRIPLE_FAULT;
}

/* A reset in the middle of a line makes it wrong, too. */
static inline int zpp_log_text_is_whole(const struct zpp_log_record *record)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < ZPP_LOG_TEXT_SIZE; ++i)
        sum += (uint8_t)record->text[i];
    return sum == record->text_sum;
}

ZPP_STATIC_ASSERT(offsetof(struct zpp_log_record, head_check) == 52, "layout");
ZPP_STATIC_ASSERT(offsetof(struct zpp_log_record, text) == 256, "layout");

#endif
