/** @file
  The list of entries: the sections of zpp.conf, the loader entries of the volume, the firmware's
  next boot option.
**/
#ifndef ZPP_BOOT_ENTRIES_H_
#define ZPP_BOOT_ENTRIES_H_

#include "Entry.h"

typedef struct {
  ZPP_ENTRY    *Items;
  UINTN        Count;
  UINTN        Room;
} ZPP_ENTRIES;

/**
  Adds an entry to a list.

  @param[in,out] Entries  The list.
  @param[in]     Entry    The entry, whose memory the list takes over, or frees if it has no room.
**/
VOID
ZppAddEntry (
  IN OUT ZPP_ENTRIES  *Entries,
  IN     ZPP_ENTRY    *Entry
  );

/**
  Frees a list.

  @param[in,out] Entries  The list.
**/
VOID
ZppFreeEntries (
  IN OUT ZPP_ENTRIES  *Entries
  );

/**
  Adds the sections of zpp.conf.

  @param[in,out] Entries  The list.
  @param[in]     Text     The text of zpp.conf.
  @param[in]     Size     Its size in bytes.
**/
VOID
ZppAddSections (
  IN OUT ZPP_ENTRIES  *Entries,
  IN     CONST CHAR8  *Text,
  IN     UINTN        Size
  );

/**
  Adds the loader entries of the volume, sorted. An entry that cannot be used is reported.

  @param[in,out] Entries  The list.
  @param[in]     Device   The volume's device.
**/
VOID
ZppAddLoaderEntries (
  IN OUT ZPP_ENTRIES  *Entries,
  IN     EFI_HANDLE   Device
  );

/**
  Adds the firmware's next boot option.

  @param[in,out] Entries  The list.
**/
VOID
ZppAddNextOption (
  IN OUT ZPP_ENTRIES  *Entries
  );

/**
  Finds the entry that "default" names.

  @param[in] Entries  The list.
  @param[in] Name     A section's name, or a pattern of loader entries.

  @return The first section of that name, else the first loader entry that matches, else NULL.
**/
CONST ZPP_ENTRY *
ZppFindEntry (
  IN CONST ZPP_ENTRIES  *Entries,
  IN ZPP_TEXT           Name
  );

#endif
