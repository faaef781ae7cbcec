/** @file
  What the firmware reports about itself and the machine's memory.
**/
#ifndef ZPP_BOOT_FIRMWARE_H_
#define ZPP_BOOT_FIRMWARE_H_

#include <Uefi.h>

#include "MachineJson.h"

/**
  Fills in the firmware's part of a machine's description, and the memory map.

  @param[out] Machine  The description; ZppFreeFirmware() frees what it points to.

  @retval EFI_SUCCESS           The part is filled in.
  @retval EFI_OUT_OF_RESOURCES  There is not enough memory.
  @retval other                 The firmware's error.
**/
EFI_STATUS
ZppReadFirmware (
  OUT ZPP_MACHINE  *Machine
  );

/**
  Frees what ZppReadFirmware() allocated.

  @param[in] Machine  The description.
**/
VOID
ZppFreeFirmware (
  IN ZPP_MACHINE  *Machine
  );

#endif
