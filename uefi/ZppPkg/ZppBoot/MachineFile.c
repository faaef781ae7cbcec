/** @file
  The file \EFI\zpp\machine.json.
**/
#include "MachineFile.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/SimpleFileSystem.h>

#define MACHINE_PATH  L"\\EFI\\zpp\\machine.json"

/// What the file begins with: another file of this name is not overwritten.
#define MARK  "{\n  \"format\": \"zpp-machine\""

/**
  Deletes an older file, if it is one of zpp's.

  @param[in] Root  The volume's root.

  @retval EFI_SUCCESS        There is none now.
  @retval EFI_ACCESS_DENIED  The file or directory of this name is not zpp's.
  @retval other              The file system's error.
**/
STATIC
EFI_STATUS
RemoveOld (
  IN EFI_FILE_PROTOCOL  *Root
  )
{
  EFI_FILE_PROTOCOL  *File;
  CHAR8              Start[sizeof (MARK) - 1];
  UINTN              Size;
  EFI_STATUS         Status;

  Status = Root->Open (Root, &File, MACHINE_PATH, EFI_FILE_MODE_READ, 0);
  if (Status == EFI_NOT_FOUND) {
    return EFI_SUCCESS;
  }

  if (EFI_ERROR (Status)) {
    return Status;
  }

  Size   = sizeof (Start);
  Status = File->Read (File, &Size, Start);
  File->Close (File);
  if (EFI_ERROR (Status) || (Size != sizeof (Start)) || (CompareMem (Start, MARK, Size) != 0)) {
    return EFI_ACCESS_DENIED;
  }

  Status = Root->Open (Root, &File, MACHINE_PATH, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, 0);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  // Delete() closes the file even if it fails, and then returns a warning.
  return File->Delete (File) == EFI_SUCCESS ? EFI_SUCCESS : EFI_WRITE_PROTECTED;
}

/**
  Writes the new file.

  @param[in] Root  The volume's root.
  @param[in] Text  The text.
  @param[in] Size  Its size in bytes.

  @retval EFI_SUCCESS  It is on the volume.
  @retval other        The file system's error; the file does not exist.
**/
STATIC
EFI_STATUS
WriteNew (
  IN EFI_FILE_PROTOCOL  *Root,
  IN CONST CHAR8        *Text,
  IN UINTN              Size
  )
{
  EFI_FILE_PROTOCOL  *File;
  UINTN              Written;
  EFI_STATUS         Status;

  Status = Root->Open (
                   Root,
                   &File,
                   MACHINE_PATH,
                   EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE,
                   0
                   );
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Written = Size;
  Status  = File->Write (File, &Written, (VOID *)Text);
  if (!EFI_ERROR (Status)) {
    Status = Written == Size ? File->Flush (File) : EFI_VOLUME_FULL;
  }

  if (EFI_ERROR (Status)) {
    File->Delete (File);
  } else {
    File->Close (File);
  }

  return Status;
}

VOID
ZppSaveMachineFile (
  IN EFI_HANDLE   Device,
  IN CONST CHAR8  *Text,
  IN UINTN        Size
  )
{
  EFI_SIMPLE_FILE_SYSTEM_PROTOCOL  *Volume;
  EFI_FILE_PROTOCOL                *Root;
  EFI_STATUS                       Status;

  Status = gBS->HandleProtocol (Device, &gEfiSimpleFileSystemProtocolGuid, (VOID **)&Volume);
  if (!EFI_ERROR (Status)) {
    Status = Volume->OpenVolume (Volume, &Root);
  }

  if (!EFI_ERROR (Status)) {
    Status = RemoveOld (Root);
    if (Status == EFI_ACCESS_DENIED) {
      Print (L"zpp: diagnosis: not saved: %s was not written by zpp; rename it\n", MACHINE_PATH);
      Root->Close (Root);
      return;
    }

    if (!EFI_ERROR (Status)) {
      Status = WriteNew (Root, Text, Size);
    }

    Root->Close (Root);
  }

  if (EFI_ERROR (Status)) {
    Print (L"zpp: diagnosis: not saved: cannot write %s: %r\n", MACHINE_PATH, Status);
  } else {
    Print (L"zpp: diagnosis: saved to %s\n", MACHINE_PATH);
  }
}
