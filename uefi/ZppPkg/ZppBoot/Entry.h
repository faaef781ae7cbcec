/** @file
  Starts an operating system that zpp.conf names.
**/
#ifndef ZPP_BOOT_ENTRY_H_
#define ZPP_BOOT_ENTRY_H_

#include <Uefi.h>

#include "Conf.h"

/**
  Starts an entry of zpp.conf. Comes back only if the program does, or cannot be started.

  @param[in] ParentImage  This program's image.
  @param[in] Device       The volume's device.
  @param[in] Entry        The entry.

  @return What the program returned, or why it did not start, which has been printed.
**/
EFI_STATUS
ZppStartEntry (
  IN EFI_HANDLE            ParentImage,
  IN EFI_HANDLE            Device,
  IN CONST ZPP_CONF_ENTRY  *Entry
  );

#endif
