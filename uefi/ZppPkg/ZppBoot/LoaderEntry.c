/** @file
  Reads loader entries (Boot Loader Specification).
**/
#include "LoaderEntry.h"
#include "Volume.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/PrintLib.h>
#include <Library/UefiLib.h>

VOID
ZppPrintLeftOut (
  IN CONST CHAR16  *Folder,
  IN CONST CHAR16  *Name,
  IN CONST CHAR8   *Reason
  )
{
  Print (L"zpp: skipped %s\\%s: %a\n", Folder, Name, Reason);
}

CHAR16 *
ZppJoinPath (
  IN CONST CHAR16  *Folder,
  IN CONST CHAR16  *Name
  )
{
  return CatSPrint (NULL, L"%s\\%s", Folder, Name);
}

CHAR8 *
ZppBeginEntry (
  IN  CONST CHAR16  *Folder,
  IN  CONST CHAR16  *Name,
  IN  CONST CHAR8   *Suffix,
  IN  UINTN         Room,
  OUT ZPP_ENTRY     *Entry
  )
{
  UINTN         Length;
  UINTN         Index;
  ZPP_BLS_NAME  *Parts;

  ZeroMem (Entry, sizeof (*Entry));
  Parts         = &Entry->Rank.Name;
  Length        = StrLen (Name);
  Entry->Folder = Folder;
  Entry->Text   = AllocateZeroPool (Length + Room + 1);
  Entry->Id     = AllocateZeroPool (Length + 1);
  if ((Entry->Text == NULL) || (Entry->Id == NULL)) {
    return NULL;
  }

  for (Index = 0; Index < Length; Index++) {
    Entry->Text[Index] = Name[Index] < 0x80 ? (CHAR8)Name[Index] : '?';
  }

  if (!ZppBlsSplitName ((ZPP_TEXT) { Entry->Text, Length }, Suffix, Parts)) {
    return NULL;
  }

  CopyMem (Entry->Id, Parts->Stem.Start, Parts->Stem.Length);
  CopyMem (Entry->Id + Parts->Stem.Length, Parts->Suffix.Start, Parts->Suffix.Length);
  return Entry->Text + Length + 1;
}

BOOLEAN
ZppSetTitle (
  IN OUT ZPP_ENTRY  *Entry,
  IN     ZPP_TEXT   Title
  )
{
  if (Title.Start == NULL) {
    Title = (ZPP_TEXT) { Entry->Id, AsciiStrLen (Entry->Id) };
  }

  Entry->Title = ZppTextToString (Title);
  return Entry->Title != NULL;
}

/**
  Collects the initrds of a type #1 entry.

  @param[in,out] Entry  The entry.
  @param[in]     Text   Its text.

  @retval TRUE   The entry has them.
  @retval FALSE  There is not enough memory.
**/
STATIC
BOOLEAN
SetInitrds (
  IN OUT ZPP_ENTRY  *Entry,
  IN     ZPP_TEXT   Text
  )
{
  ZPP_TEXT  Rest;
  ZPP_TEXT  Value;
  UINTN     Count;

  Rest = Text;
  for (Count = 0; ZppBlsNext (&Rest, "initrd", &Value); Count++) {
  }

  Entry->Initrds = AllocatePool ((Count + 1) * sizeof (*Entry->Initrds));
  if (Entry->Initrds == NULL) {
    return FALSE;
  }

  for (Rest = Text; ZppBlsNext (&Rest, "initrd", &Value); Entry->InitrdCount++) {
    Entry->Initrds[Entry->InitrdCount] = ZppTextToPath (Value);
    if (Entry->Initrds[Entry->InitrdCount] == NULL) {
      return FALSE;
    }
  }

  return TRUE;
}

/**
  Joins the options of a type #1 entry to its command line.

  @param[in,out] Entry  The entry.
  @param[in]     Text   Its text.

  @retval TRUE   The entry has them.
  @retval FALSE  There is not enough memory.
**/
STATIC
BOOLEAN
SetCommandLine (
  IN OUT ZPP_ENTRY  *Entry,
  IN     ZPP_TEXT   Text
  )
{
  ZPP_TEXT  Value;
  CHAR16    *Units;

  // All options together are shorter than the text.
  Entry->CommandLine = AllocatePool ((Text.Length + 1) * sizeof (CHAR16));
  if (Entry->CommandLine == NULL) {
    return FALSE;
  }

  for (Units = Entry->CommandLine; ZppBlsNext (&Text, "options", &Value); *Units++ = L' ') {
    Units += ZppTextToUtf16 (Value, Units);
  }

  *(Units == Entry->CommandLine ? Units : Units - 1) = L'\0';
  return TRUE;
}

/**
  Completes a type #1 entry from its text.

  @param[in,out] Entry   The entry.
  @param[in]     Name    The file's name.
  @param[in]     Text    Its text, which stays in memory.

  @retval TRUE   The entry can be used.
  @retval FALSE  It cannot.
**/
STATIC
BOOLEAN
ParseTextEntry (
  IN OUT ZPP_ENTRY     *Entry,
  IN     CONST CHAR16  *Name,
  IN     ZPP_TEXT      Text
  )
{
  ZPP_BLS         Bls;
  ZPP_BLS_RESULT  Result;

  Result = ZppBlsParse (Text, &Bls);
  if (Result != ZppBlsValid) {
    if (Result == ZppBlsNoProgram) {
      ZppPrintLeftOut (Entry->Folder, Name, "it has neither linux nor efi");
    }

    return FALSE;
  }

  Entry->Rank.SortKey   = Bls.SortKey;
  Entry->Rank.MachineId = Bls.MachineId;
  Entry->Rank.Version   = Bls.Version;
  Entry->Path           = ZppTextToPath (Bls.Program);
  return (Entry->Path != NULL) && ZppSetTitle (Entry, Bls.Title) && SetInitrds (Entry, Text) && SetCommandLine (Entry, Text);
}

BOOLEAN
ZppReadTextEntry (
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Folder,
  IN  CONST CHAR16  *Name,
  OUT ZPP_ENTRY     *Entry
  )
{
  CHAR16      *Path;
  CHAR8       *Content;
  UINTN       Size;
  CHAR8       *Texts;
  EFI_STATUS  Status;
  BOOLEAN     IsUsable;

  // First without its text, since most other files are recognized by their names.
  if (ZppBeginEntry (Folder, Name, ".conf", 0, Entry) == NULL) {
    ZppFreeEntry (Entry);
    return FALSE;
  }

  ZppFreeEntry (Entry);
  Content = NULL;
  Path    = ZppJoinPath (Folder, Name);
  Status  = Path == NULL ? EFI_OUT_OF_RESOURCES : ZppReadFile (Device, Path, ZPP_BLS_SIZE_MAX, (VOID **)&Content, &Size);
  if (Path != NULL) {
    FreePool (Path);
  }

  if (EFI_ERROR (Status)) {
    ZppPrintLeftOut (Folder, Name, Status == EFI_BAD_BUFFER_SIZE ? "it has more than 64 KiB" : "it cannot be read");
    return FALSE;
  }

  Texts    = ZppBeginEntry (Folder, Name, ".conf", Size, Entry);
  IsUsable = Texts != NULL;
  if (IsUsable) {
    CopyMem (Texts, Content, Size);
    IsUsable = ParseTextEntry (Entry, Name, (ZPP_TEXT) { Texts, Size });
  }

  FreePool (Content);
  if (!IsUsable) {
    ZppFreeEntry (Entry);
  }

  return IsUsable;
}

VOID
ZppExtendTitle (
  IN OUT ZPP_ENTRY  *Entry
  )
{
  CHAR16    *More;
  CHAR16    *Title;
  ZPP_TEXT  Id;

  Id    = (ZPP_TEXT) { Entry->Id, AsciiStrLen (Entry->Id) };
  More  = ZppTextToString (Entry->Rank.Version.Start != NULL ? Entry->Rank.Version : Id);
  Title = More == NULL ? NULL : CatSPrint (NULL, L"%s (%s)", Entry->Title, More);
  if (Title != NULL) {
    FreePool (Entry->Title);
    Entry->Title = Title;
  }

  if (More != NULL) {
    FreePool (More);
  }
}
