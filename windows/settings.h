/* The administrator's settings: values of the service's registry key. */
#ifndef ZPP_WINDOWS_SETTINGS_H
#define ZPP_WINDOWS_SETTINGS_H

#include "kernel.h"
#include <stdint.h>

struct zpp_settings {
    uint16_t serial_port; /* REG_DWORD SerialPort: I/O port of the log's 16550 UART, 0 for none */
    uint8_t wait_for_debugger; /* REG_DWORD WaitForDebugger: 1 to wait before the launch */
    uint8_t visible;           /* REG_DWORD Visible: 1 to show zpp in CPUID */
    uint16_t reset_after; /* REG_DWORD ResetAfter: seconds from a crash to the reset, 0 for none */
};

/* Reads the registry; the build's settings are the defaults. Returns STATUS_INVALID_PARAMETER if a value
 * has the wrong type or is out of range. */
NTSTATUS zpp_settings_read(UNICODE_STRING *service_key, struct zpp_settings *settings);

/* Whether Windows' Fast Startup is on: a shut-down then hibernates the kernel. */
int zpp_settings_fast_startup(void);

/* Writes `text` (ASCII) to the value Result of the service's key, for the reason that a status cannot
 * express. Ignores errors. */
void zpp_settings_write_result(UNICODE_STRING *service_key, const char *text);

#endif
