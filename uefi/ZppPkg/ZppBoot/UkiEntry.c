/** @file
  Reads unified kernel images as loader entries (Boot Loader Specification, type #2).
**/
#include "LoaderEntry.h"
#include "Uki.h"
#include "Volume.h"

#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>

/**
  Reads a part of a file.

  @param[in]  File    The file.
  @param[in]  Offset  The part's offset.
  @param[in]  Size    Its size.
  @param[out] Buffer  The part.

  @return The number of bytes read; 0 after an error.
**/
STATIC
UINTN
ReadPart (
  IN  EFI_FILE_PROTOCOL  *File,
  IN  UINT64             Offset,
  IN  UINTN              Size,
  OUT VOID               *Buffer
  )
{
  return EFI_ERROR (File->SetPosition (File, Offset)) || EFI_ERROR (File->Read (File, &Size, Buffer)) ? 0 : Size;
}

/**
  Reads the os-release of a unified kernel image, and completes its entry.

  @param[in]  File    The file.
  @param[in]  Folder  The folder.
  @param[in]  Name    The file's name.
  @param[out] Entry   The entry; to be freed if it cannot be used.

  @retval NULL   The entry can be used.
  @retval other  Why it cannot.
**/
STATIC
CONST CHAR8 *
ReadOsRelease (
  IN  EFI_FILE_PROTOCOL  *File,
  IN  CONST CHAR16       *Folder,
  IN  CONST CHAR16       *Name,
  OUT ZPP_ENTRY          *Entry
  )
{
  UINT8           Headers[ZPP_UKI_HEADERS_MAX];
  UINT32          Offset;
  UINT32          Length;
  CHAR8           *Texts;
  ZPP_OS_RELEASE  OsRelease;

  ZeroMem (Entry, sizeof (*Entry));
  if (!ZppUkiFindOsRelease (Headers, ReadPart (File, 0, sizeof (Headers), Headers), &Offset, &Length)) {
    return "it is not a unified kernel image for x86-64";
  }

  if (Length > ZPP_UKI_OS_RELEASE_MAX) {
    return "its section .osrel has more than 64 KiB";
  }

  Texts = ZppBeginEntry (Folder, Name, ".efi", Length, Entry);
  if (Texts == NULL) {
    return "there is not enough memory";
  }

  ZppOsReleaseParse ((ZPP_TEXT) { Texts, ReadPart (File, Offset, Length, Texts) }, &OsRelease);
  Entry->Rank.SortKey = OsRelease.SortKey;
  Entry->Rank.Version = OsRelease.Version;
  Entry->Path         = ZppJoinPath (Folder, Name);
  return (Entry->Path != NULL) && ZppSetTitle (Entry, OsRelease.Title) ? NULL : "there is not enough memory";
}

BOOLEAN
ZppReadUki (
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Folder,
  IN  CONST CHAR16  *Name,
  OUT ZPP_ENTRY     *Entry
  )
{
  CHAR16             *Path;
  EFI_FILE_PROTOCOL  *File;
  UINT64             Size;
  CONST CHAR8        *Reason;
  BOOLEAN            IsEntry;

  IsEntry = ZppBeginEntry (Folder, Name, ".efi", 0, Entry) != NULL;
  ZppFreeEntry (Entry);
  Path = IsEntry ? ZppJoinPath (Folder, Name) : NULL;
  if (Path == NULL) {
    return FALSE;
  }

  if (EFI_ERROR (ZppOpenFile (Device, Path, &File, &Size))) {
    Reason = "it cannot be read";
    ZeroMem (Entry, sizeof (*Entry));
  } else {
    Reason = ReadOsRelease (File, Folder, Name, Entry);
    File->Close (File);
  }

  FreePool (Path);
  if (Reason != NULL) {
    ZppPrintLeftOut (Folder, Name, Reason);
    ZppFreeEntry (Entry);
  }

  return Reason == NULL;
}
