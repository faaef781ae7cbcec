/* The core's log ring, read by hypercalls. */
#ifndef ZPP_LINUX_CORE_LOG_H
#define ZPP_LINUX_CORE_LOG_H

#include <linux/types.h>

#define ZPP_CORE_LOG_PIECE 32

/* Reads the piece at *position and moves it on; *position = 0 is the oldest. The number of bytes,
 * 0 at the end. */
unsigned zpp_core_log_read(u64 *position, char piece[ZPP_CORE_LOG_PIECE]);

/* Copies the whole log into the kernel's, line by line. */
void zpp_core_log_print(void);

#endif
