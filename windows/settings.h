/* What the administrator may set: values of the service's registry key. */
#ifndef ZPP_WINDOWS_SETTINGS_H
#define ZPP_WINDOWS_SETTINGS_H

#include "kernel.h"
#include <stdint.h>

struct zpp_settings {
    uint16_t serial_port; /* REG_DWORD SerialPort: I/O port of the log's 16550 UART, 0 for none */
    uint8_t wait_for_debugger; /* REG_DWORD WaitForDebugger: 1 to wait before the launch */
};

/* The build's defaults, overridden by the registry. STATUS_INVALID_PARAMETER: a value is of the
 * wrong type or out of range. */
NTSTATUS zpp_settings_read(UNICODE_STRING *service_key, struct zpp_settings *settings);

/* Writes `text`, ASCII, as the value Result of the service's key, for whoever started the driver:
 * a status alone has no room for the reason. Nothing to be done if that fails. */
void zpp_settings_write_result(UNICODE_STRING *service_key, const char *text);

#endif
