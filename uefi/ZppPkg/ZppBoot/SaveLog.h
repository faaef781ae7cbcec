/** @file
  Saves the log of the last boot.
**/
#ifndef ZPP_BOOT_SAVE_LOG_H_
#define ZPP_BOOT_SAVE_LOG_H_

#include <Uefi.h>

/**
  Saves the log of the last boot to \EFI\zpp\logs, unless it ended normally, and prints how it ended.

  ZppLastBoot() tells the rest of the program how it ended. If the log cannot be saved, a line says why.

  @param[in] Device  The volume's device.
  @param[in] Save    FALSE: print only.
**/
VOID
ZppSaveLog (
  IN EFI_HANDLE  Device,
  IN BOOLEAN     Save
  );

#endif
