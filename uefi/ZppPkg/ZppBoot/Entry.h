/** @file
  What ZppBoot can boot: the sections of zpp.conf, loader entries, and the firmware's next option.
**/
#ifndef ZPP_BOOT_ENTRY_H_
#define ZPP_BOOT_ENTRY_H_

#include <Uefi.h>

#include "Bls.h"

/// Something to boot. All pointers are to pool memory.
typedef struct {
  CHAR16          *Title;
  CHAR8           *Id;          ///< What "default" names; NULL for the firmware's next option.
  CHAR16          *Path;        ///< Of the EFI program; NULL: the firmware's next option.
  CHAR16          **Initrds;    ///< Paths.
  UINTN           InitrdCount;
  CHAR16          *CommandLine; ///< NULL: none.

  // Of loader entries only:
  CONST CHAR16    *Folder;      ///< Of its file; NULL: not a loader entry.
  CHAR8           *Text;        ///< The file's name, then the texts that Rank points into.
  ZPP_BLS_RANK    Rank;
} ZPP_ENTRY;

/**
  Frees what an entry points to.

  @param[in] Entry  The entry.
**/
VOID
ZppFreeEntry (
  IN ZPP_ENTRY  *Entry
  );

/**
  Loads the program of an entry, and prints the reason if that fails.

  @param[in]  ParentImage  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Entry        The entry; with a path.
  @param[out] Program      The program's image.

  @retval EFI_SUCCESS  The program is loaded.
  @retval other        The error, which has been printed.
**/
EFI_STATUS
ZppLoadEntry (
  IN  EFI_HANDLE       ParentImage,
  IN  EFI_HANDLE       Device,
  IN  CONST ZPP_ENTRY  *Entry,
  OUT EFI_HANDLE       *Program
  );

/**
  Starts a loaded entry with its initrds and its command line. Returns only if the program does.

  @param[in] Device   The volume's device.
  @param[in] Entry    The entry.
  @param[in] Program  Its program's image.

  @return The program's exit status, which has been printed.
**/
EFI_STATUS
ZppStartEntry (
  IN EFI_HANDLE       Device,
  IN CONST ZPP_ENTRY  *Entry,
  IN EFI_HANDLE       Program
  );

#endif
