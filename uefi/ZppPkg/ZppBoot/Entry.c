/** @file
  Starts an entry: an operating system or its boot loader.
**/
#include "Entry.h"
#include "Initrd.h"
#include "Program.h"

#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

/**
  Frees pool memory.

  @param[in] Buffer  The memory; may be NULL.
**/
STATIC
VOID
Free (
  IN VOID  *Buffer OPTIONAL
  )
{
  if (Buffer != NULL) {
    FreePool (Buffer);
  }
}

VOID
ZppFreeEntry (
  IN ZPP_ENTRY  *Entry
  )
{
  UINTN  Index;

  for (Index = 0; Index < Entry->InitrdCount; Index++) {
    FreePool (Entry->Initrds[Index]);
  }

  Free (Entry->Initrds);
  Free (Entry->Title);
  Free (Entry->Id);
  Free (Entry->Path);
  Free (Entry->CommandLine);
  Free (Entry->Text);
}

EFI_STATUS
ZppLoadEntry (
  IN  EFI_HANDLE       ParentImage,
  IN  EFI_HANDLE       Device,
  IN  CONST ZPP_ENTRY  *Entry,
  OUT EFI_HANDLE       *Program
  )
{
  EFI_STATUS  Status;

  Status = ZppLoadFile (ParentImage, Device, Entry->Path, Program);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot start %s: %r\n", Entry->Path, Status);
  }

  return Status;
}

EFI_STATUS
ZppStartEntry (
  IN EFI_HANDLE       Device,
  IN CONST ZPP_ENTRY  *Entry,
  IN EFI_HANDLE       Program
  )
{
  EFI_STATUS  Status;

  Print (L"zpp: starting %s\n", Entry->Path);
  ZppOfferInitrds (Device, Entry->Initrds, Entry->InitrdCount);
  Status = ZppStartProgram (
             Program,
             Entry->CommandLine,
             Entry->CommandLine == NULL ? 0 : (UINT32)StrSize (Entry->CommandLine)
             );
  ZppWithdrawInitrds ();
  Print (L"zpp: %s returned: %r\n", Entry->Path, Status);
  return Status;
}
