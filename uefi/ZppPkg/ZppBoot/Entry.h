/** @file
  Starts an entry of zpp.conf: an operating system or its boot loader.
**/
#ifndef ZPP_BOOT_ENTRY_H_
#define ZPP_BOOT_ENTRY_H_

#include <Uefi.h>

#include "Conf.h"

/**
  Loads the program of an entry, and prints the reason if that fails.

  @param[in]  ParentImage  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Entry        The entry.
  @param[out] Program      The program's image.

  @retval EFI_SUCCESS  The program is loaded.
  @retval other        The error, which has been printed.
**/
EFI_STATUS
ZppLoadEntry (
  IN  EFI_HANDLE            ParentImage,
  IN  EFI_HANDLE            Device,
  IN  CONST ZPP_CONF_ENTRY  *Entry,
  OUT EFI_HANDLE            *Program
  );

/**
  Starts a loaded entry with its initrd and its command line. Returns only if the program does.

  @param[in] Device   The volume's device.
  @param[in] Entry    The entry.
  @param[in] Program  Its program's image.

  @return The program's exit status, which has been printed.
**/
EFI_STATUS
ZppStartEntry (
  IN EFI_HANDLE            Device,
  IN CONST ZPP_CONF_ENTRY  *Entry,
  IN EFI_HANDLE            Program
  );

#endif
