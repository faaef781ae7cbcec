/* The core's log ring, read by hypercalls. */
#ifndef ZPP_LINUX_CORE_LOG_H
#define ZPP_LINUX_CORE_LOG_H

#include <linux/types.h>

#define ZPP_CORE_LOG_CHUNK 32

/* Reads the chunk at *position and advances *position; 0 is the start of the log. Returns the number
 * of bytes, 0 at the end. */
unsigned zpp_core_log_read(u64 *position, char chunk[ZPP_CORE_LOG_CHUNK]);

/* Copies the log to the kernel's log, line by line. */
void zpp_core_log_print(void);

#endif
