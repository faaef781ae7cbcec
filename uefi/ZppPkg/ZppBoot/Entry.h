/** @file
  Starts an operating system that zpp.conf names.
**/
#ifndef ZPP_BOOT_ENTRY_H_
#define ZPP_BOOT_ENTRY_H_

#include <Uefi.h>

#include "Conf.h"

/**
  Loads the program of an entry of zpp.conf, and says why if that fails.

  @param[in]  ParentImage  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Entry        The entry.
  @param[out] Program      The program's image.

  @retval EFI_SUCCESS  It is loaded.
  @retval other        Why not, which has been printed.
**/
EFI_STATUS
ZppLoadEntry (
  IN  EFI_HANDLE            ParentImage,
  IN  EFI_HANDLE            Device,
  IN  CONST ZPP_CONF_ENTRY  *Entry,
  OUT EFI_HANDLE            *Program
  );

/**
  Starts a loaded entry with its initrd and its command line. Comes back only if the program does.

  @param[in] Device   The volume's device.
  @param[in] Entry    The entry.
  @param[in] Program  Its program's image.

  @return What the program returned, which has been printed.
**/
EFI_STATUS
ZppStartEntry (
  IN EFI_HANDLE            Device,
  IN CONST ZPP_CONF_ENTRY  *Entry,
  IN EFI_HANDLE            Program
  );

#endif
