/* The UEFI variable that counts the boots that did not complete (docs/adr/0019). ZppBoot writes it
 * before it starts the hypervisor. A client that sees the system running deletes it: the boot has
 * completed. */
#ifndef ZPP_BOOT_RECORD_H
#define ZPP_BOOT_RECORD_H

#include <zpp/boot_info.h>

/* Attributes: non-volatile, boot services, run time. GUID: c1b6d9f4-5a3e-4f0b-9d27-6e41a8b3f502. */
#define ZPP_BOOT_RECORD_NAME "ZppBootRecord"
#define ZPP_BOOT_RECORD_VERSION 1u

#define ZPP_BOOT_TRIES_DEFAULT 3u
#define ZPP_BOOT_TRIES_MAX 100u

enum zpp_boot_state {
    ZPP_BOOT_STARTED = 0, /* the last of the counted boots began at `started` */
    ZPP_BOOT_LEFT_OUT = 1 /* too many failed: the hypervisor stays off until it is turned on */
};

struct zpp_boot_record {
    uint8_t version;     /* ZPP_BOOT_RECORD_VERSION */
    uint8_t boots;       /* boots with the hypervisor in a row that nobody has seen complete */
    uint8_t state;       /* enum zpp_boot_state */
    uint8_t reserved[5]; /* 0 */
    uint64_t started;    /* the firmware's clock, in seconds since 2000-01-01 */
};

ZPP_STATIC_ASSERT(sizeof(struct zpp_boot_record) == 16, "16 bytes");

#endif
