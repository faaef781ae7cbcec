/** @file
  Reads loader entries (Boot Loader Specification), and counts their boots in their file names.
**/
#ifndef ZPP_BOOT_LOADER_ENTRY_H_
#define ZPP_BOOT_LOADER_ENTRY_H_

#include "Entry.h"

/**
  Reads a loader entry. An entry that cannot be used is reported.

  @param[in]  Device  The volume's device.
  @param[in]  Folder  The folder; a constant, which the entry keeps.
  @param[in]  Name    The file's name.
  @param[out] Entry   The entry.

  @retval TRUE   The entry can be used.
  @retval FALSE  The file is not an entry, or none for this machine, or cannot be used.
**/
typedef BOOLEAN (*ZPP_READ_LOADER_ENTRY)(
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Folder,
  IN  CONST CHAR16  *Name,
  OUT ZPP_ENTRY     *Entry
  );

/**
  Reads a type #1 entry: NAME.conf. A ZPP_READ_LOADER_ENTRY.
**/
BOOLEAN
ZppReadTextEntry (
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Folder,
  IN  CONST CHAR16  *Name,
  OUT ZPP_ENTRY     *Entry
  );

/**
  Reads a type #2 entry: a unified kernel image, NAME.efi. A ZPP_READ_LOADER_ENTRY.
**/
BOOLEAN
ZppReadUki (
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Folder,
  IN  CONST CHAR16  *Name,
  OUT ZPP_ENTRY     *Entry
  );

/**
  Prints why an entry is skipped.

  @param[in] Folder  Its folder.
  @param[in] Name    Its file's name.
  @param[in] Reason  The reason.
**/
VOID
ZppPrintLeftOut (
  IN CONST CHAR16  *Folder,
  IN CONST CHAR16  *Name,
  IN CONST CHAR8   *Reason
  );

/**
  Joins a folder and a file name.

  @param[in] Folder  The folder's path.
  @param[in] Name    The file's name.

  @return The path, which the caller frees with FreePool(), or NULL if there is not enough memory.
**/
CHAR16 *
ZppJoinPath (
  IN CONST CHAR16  *Folder,
  IN CONST CHAR16  *Name
  );

/**
  Initializes an entry: its file's name, ID and place in the order.

  @param[in]  Folder  The folder.
  @param[in]  Name    The file's name.
  @param[in]  Suffix  The suffix of such entries.
  @param[in]  Room    Bytes for the texts that the caller adds after the name.
  @param[out] Entry   The entry; to be freed in any case.

  @return Where the texts go, or NULL if the file is not an entry or there is not enough memory.
**/
CHAR8 *
ZppBeginEntry (
  IN  CONST CHAR16  *Folder,
  IN  CONST CHAR16  *Name,
  IN  CONST CHAR8   *Suffix,
  IN  UINTN         Room,
  OUT ZPP_ENTRY     *Entry
  );

/**
  Sets an entry's title.

  @param[in,out] Entry  The entry.
  @param[in]     Title  The title; if it is absent, the ID is taken.

  @retval TRUE   The title is set.
  @retval FALSE  There is not enough memory.
**/
BOOLEAN
ZppSetTitle (
  IN OUT ZPP_ENTRY  *Entry,
  IN     ZPP_TEXT   Title
  );

/**
  Adds the version, or else the ID, to an entry's title.

  @param[in,out] Entry  A loader entry.
**/
VOID
ZppExtendTitle (
  IN OUT ZPP_ENTRY  *Entry
  );

/**
  Checks whether all tries of an entry failed.

  @param[in] Entry  The entry.

  @retval TRUE   It is counted, and has no try left.
  @retval FALSE  It has one, or is not counted.
**/
BOOLEAN
ZppEntryIsBad (
  IN CONST ZPP_ENTRY  *Entry
  );

/**
  Counts a try of an entry: renames its file, and tells the operating system its name, so that
  systemd-bless-boot can rename it again when the boot is complete. A file that cannot be renamed is
  reported.

  @param[in] Device  The volume's device.
  @param[in] Entry   The entry; if it is not counted, nothing happens.
**/
VOID
ZppCountTry (
  IN EFI_HANDLE       Device,
  IN CONST ZPP_ENTRY  *Entry
  );

#endif
