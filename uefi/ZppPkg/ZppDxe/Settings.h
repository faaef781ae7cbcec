/** @file
  The user's settings for the hypervisor.
**/
#ifndef ZPP_DXE_SETTINGS_H_
#define ZPP_DXE_SETTINGS_H_

#include <Uefi.h>

typedef struct {
  UINT16     SerialPort;      ///< I/O port of the log's 16550 UART, 0 for none.
  BOOLEAN    WaitForDebugger; ///< Wait for a debugger before the first launch.
  BOOLEAN    Visible;         ///< CPUID shows zpp.
  UINT16     ResetAfter;      ///< Seconds from a crash of the core to the reset, 0 for no reset.
  UINT16     TracePort;       ///< Debug port for the trace of VM exits, 0 for none.
} ZPP_SETTINGS;

/**
  Reads the settings from a driver's load options, such as L"serial=0x2f8 visible=1".

  Other words are ignored: a Driver#### option may contain anything.

  @param[in]  LoadOptions      The load options, UTF-16; may be NULL.
  @param[in]  LoadOptionsSize  Their size in bytes.
  @param[out] Settings         The build's defaults, overridden by the load options.

  @retval EFI_SUCCESS            Settings is valid.
  @retval EFI_INVALID_PARAMETER  A setting's value is not valid.
**/
EFI_STATUS
ZppReadSettings (
  IN  CONST VOID    *LoadOptions OPTIONAL,
  IN  UINTN         LoadOptionsSize,
  OUT ZPP_SETTINGS  *Settings
  );

#endif
