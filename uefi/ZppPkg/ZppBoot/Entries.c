/** @file
  The list of entries: the sections of zpp.conf, the loader entries of the volume, the firmware's
  next boot option.
**/
#include "Conf.h"
#include "Entries.h"
#include "LoaderEntry.h"
#include "Volume.h"

#include <Guid/FileInfo.h>
#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

#define ENTRIES_FOLDER  L"\\loader\\entries"
#define UKI_FOLDER      L"\\EFI\\Linux"
#define FIRST_ROOM      16

VOID
ZppAddEntry (
  IN OUT ZPP_ENTRIES  *Entries,
  IN     ZPP_ENTRY    *Entry
  )
{
  ZPP_ENTRY  *Items;
  UINTN      Room;

  if (Entries->Count == Entries->Room) {
    Room  = Entries->Room == 0 ? FIRST_ROOM : 2 * Entries->Room;
    Items = ReallocatePool (Entries->Room * sizeof (*Items), Room * sizeof (*Items), Entries->Items);
    if (Items == NULL) {
      ZppFreeEntry (Entry);
      return;
    }

    Entries->Items = Items;
    Entries->Room  = Room;
  }

  CopyMem (&Entries->Items[Entries->Count], Entry, sizeof (*Entry));
  Entries->Count++;
}

VOID
ZppFreeEntries (
  IN OUT ZPP_ENTRIES  *Entries
  )
{
  while (Entries->Count > 0) {
    ZppFreeEntry (&Entries->Items[--Entries->Count]);
  }

  if (Entries->Items != NULL) {
    FreePool (Entries->Items);
  }

  ZeroMem (Entries, sizeof (*Entries));
}

/**
  Adds a section of zpp.conf. A ZPP_CONF_VISIT.

  @param[in,out] Context  The list.
  @param[in]     Name     The section's name.
  @param[in]     Section  Its keys.
**/
STATIC
VOID
AddSection (
  IN OUT VOID                  *Context,
  IN     ZPP_TEXT              Name,
  IN     CONST ZPP_CONF_ENTRY  *Section
  )
{
  ZPP_ENTRY  Entry;

  ZeroMem (&Entry, sizeof (Entry));
  Entry.Title = ZppTextToString (Name);
  Entry.Id    = AllocateZeroPool (Name.Length + 1);
  Entry.Path  = ZppTextToPath (Section->Path);
  if (Section->CommandLine.Start != NULL) {
    Entry.CommandLine = ZppTextToString (Section->CommandLine);
  }

  if (Section->Initrd.Start != NULL) {
    Entry.Initrds = AllocatePool (sizeof (*Entry.Initrds));
    if (Entry.Initrds != NULL) {
      Entry.Initrds[0]  = ZppTextToPath (Section->Initrd);
      Entry.InitrdCount = Entry.Initrds[0] != NULL;
    }
  }

  if ((Entry.Title == NULL) || (Entry.Id == NULL) || (Entry.Path == NULL)) {
    ZppFreeEntry (&Entry);
    return;
  }

  CopyMem (Entry.Id, Name.Start, Name.Length);
  ZppAddEntry (Context, &Entry);
}

VOID
ZppAddSections (
  IN OUT ZPP_ENTRIES  *Entries,
  IN     CONST CHAR8  *Text,
  IN     UINTN        Size
  )
{
  ZppConfVisit (Text, Size, AddSection, Entries);
}

VOID
ZppAddNextOption (
  IN OUT ZPP_ENTRIES  *Entries
  )
{
  ZPP_ENTRY  Entry;

  ZeroMem (&Entry, sizeof (Entry));
  Entry.Title = AllocateCopyPool (sizeof (L"The firmware's next boot option"), L"The firmware's next boot option");
  if (Entry.Title != NULL) {
    ZppAddEntry (Entries, &Entry);
  }
}

/**
  Reads the loader entries of a folder.

  @param[in,out] Entries  The list.
  @param[in]     Device   The volume's device.
  @param[in]     Path     The folder's path.
  @param[in]     Read     Reads an entry.
**/
STATIC
VOID
AddFolder (
  IN OUT ZPP_ENTRIES            *Entries,
  IN     EFI_HANDLE             Device,
  IN     CONST CHAR16           *Path,
  IN     ZPP_READ_LOADER_ENTRY  Read
  )
{
  EFI_FILE_PROTOCOL  *Folder;
  EFI_FILE_INFO      *Information;
  UINTN              Room;
  UINTN              Size;
  EFI_STATUS         Status;
  ZPP_ENTRY          Entry;

  if (EFI_ERROR (ZppOpenFolder (Device, Path, &Folder))) {
    return;
  }

  Room        = SIZE_OF_EFI_FILE_INFO + 256 * sizeof (CHAR16);
  Information = AllocatePool (Room);
  while (Information != NULL) {
    Size   = Room;
    Status = Folder->Read (Folder, &Size, Information);
    if (EFI_ERROR (Status)) {
      Print (L"zpp: cannot read %s: %r\n", Path, Status);
      break;
    }

    if (Size == 0) {
      break;
    }

    if (((Information->Attribute & EFI_FILE_DIRECTORY) == 0) && Read (Device, Path, Information->FileName, &Entry)) {
      ZppAddEntry (Entries, &Entry);
    }
  }

  if (Information != NULL) {
    FreePool (Information);
  }

  Folder->Close (Folder);
}

/**
  Tells entries of the same title apart by their version, or else by their ID.

  @param[in,out] Entries  The list.
  @param[in]     First    The first entry to look at.
**/
STATIC
VOID
MakeTitlesUnique (
  IN OUT ZPP_ENTRIES  *Entries,
  IN     UINTN        First
  )
{
  UINTN    A;
  UINTN    B;
  BOOLEAN  *IsTwin;

  IsTwin = AllocateZeroPool (Entries->Count + 1);
  if (IsTwin == NULL) {
    return;
  }

  for (A = First; A < Entries->Count; A++) {
    for (B = First; B < A; B++) {
      if (StrCmp (Entries->Items[A].Title, Entries->Items[B].Title) == 0) {
        IsTwin[A] = TRUE;
        IsTwin[B] = TRUE;
      }
    }
  }

  for (A = First; A < Entries->Count; A++) {
    if (IsTwin[A]) {
      ZppExtendTitle (&Entries->Items[A]);
    }
  }

  FreePool (IsTwin);
}

VOID
ZppAddLoaderEntries (
  IN OUT ZPP_ENTRIES  *Entries,
  IN     EFI_HANDLE   Device
  )
{
  UINTN      First;
  UINTN      Index;
  UINTN      Place;
  ZPP_ENTRY  Entry;

  First = Entries->Count;
  AddFolder (Entries, Device, ENTRIES_FOLDER, ZppReadTextEntry);
  AddFolder (Entries, Device, UKI_FOLDER, ZppReadUki);
  for (Index = First + 1; Index < Entries->Count; Index++) {
    CopyMem (&Entry, &Entries->Items[Index], sizeof (Entry));
    for (Place = Index; (Place > First) && (ZppBlsCompare (&Entry.Rank, &Entries->Items[Place - 1].Rank) < 0); Place--) {
      CopyMem (&Entries->Items[Place], &Entries->Items[Place - 1], sizeof (Entry));
    }

    CopyMem (&Entries->Items[Place], &Entry, sizeof (Entry));
  }

  MakeTitlesUnique (Entries, First);
}

CONST ZPP_ENTRY *
ZppFindEntry (
  IN CONST ZPP_ENTRIES  *Entries,
  IN ZPP_TEXT           Name
  )
{
  UINTN     Index;
  ZPP_TEXT  Id;

  for (Index = 0; Index < Entries->Count; Index++) {
    if ((Entries->Items[Index].Id != NULL) && (Entries->Items[Index].Folder == NULL) &&
        ZppTextIs (Name, Entries->Items[Index].Id))
    {
      return &Entries->Items[Index];
    }
  }

  for (Index = 0; Index < Entries->Count; Index++) {
    if (Entries->Items[Index].Folder != NULL) {
      Id = (ZPP_TEXT) { Entries->Items[Index].Id, AsciiStrLen (Entries->Items[Index].Id) };
      if (ZppTextMatches (Id, Name)) {
        return &Entries->Items[Index];
      }
    }
  }

  return NULL;
}
