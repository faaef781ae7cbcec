/** @file
  ACPI's registers by which the system puts the machine to sleep.
**/
#ifndef ZPP_DXE_SLEEP_H_
#define ZPP_DXE_SLEEP_H_

#include <Uefi.h>

#include <zpp/boot_info.h>

/**
  Finds the registers in the firmware's ACPI tables.

  @param[out] Sleep  The registers, or zeros if there are none that the core can use.
**/
VOID
ZppFindSleepRegisters (
  OUT struct zpp_sleep_registers  *Sleep
  );

#endif
