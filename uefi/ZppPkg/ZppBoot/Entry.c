/** @file
  Starts an entry of zpp.conf: an operating system or its boot loader.
**/
#include "Entry.h"
#include "Initrd.h"
#include "Program.h"
#include "Volume.h"

#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

/**
  Offers the entry's initrd, if it has one.

  @param[in] Device  The volume's device.
  @param[in] Initrd  The initrd's path from zpp.conf; may be absent.
**/
STATIC
VOID
OfferInitrd (
  IN EFI_HANDLE  Device,
  IN ZPP_TEXT    Initrd
  )
{
  CHAR16      *Path;
  EFI_STATUS  Status;

  if (Initrd.Start == NULL) {
    return;
  }

  Path   = ZppTextToPath (Initrd);
  Status = Path == NULL ? EFI_OUT_OF_RESOURCES : ZppOfferInitrd (Device, Path);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot load the initrd %s: %r\n", Path == NULL ? L"" : Path, Status);
  }

  if (Path != NULL) {
    FreePool (Path);
  }
}

EFI_STATUS
ZppLoadEntry (
  IN  EFI_HANDLE            ParentImage,
  IN  EFI_HANDLE            Device,
  IN  CONST ZPP_CONF_ENTRY  *Entry,
  OUT EFI_HANDLE            *Program
  )
{
  CHAR16      *Path;
  EFI_STATUS  Status;

  Path   = ZppTextToPath (Entry->Path);
  Status = Path == NULL ? EFI_OUT_OF_RESOURCES : ZppLoadFile (ParentImage, Device, Path, Program);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot start %s: %r\n", Path == NULL ? L"" : Path, Status);
  }

  if (Path != NULL) {
    FreePool (Path);
  }

  return Status;
}

EFI_STATUS
ZppStartEntry (
  IN EFI_HANDLE            Device,
  IN CONST ZPP_CONF_ENTRY  *Entry,
  IN EFI_HANDLE            Program
  )
{
  CHAR16      *Path;
  CHAR16      *CommandLine;
  EFI_STATUS  Status;

  Path = ZppTextToPath (Entry->Path);
  Print (L"zpp: starting %s\n", Path == NULL ? L"" : Path);
  OfferInitrd (Device, Entry->Initrd);
  CommandLine = Entry->CommandLine.Start != NULL ? ZppTextToString (Entry->CommandLine) : NULL;
  Status      = ZppStartProgram (
                  Program,
                  CommandLine,
                  CommandLine == NULL ? 0 : (UINT32)StrSize (CommandLine)
                  );
  ZppWithdrawInitrd ();
  Print (L"zpp: %s returned: %r\n", Path == NULL ? L"" : Path, Status);
  if (CommandLine != NULL) {
    FreePool (CommandLine);
  }

  if (Path != NULL) {
    FreePool (Path);
  }

  return Status;
}
