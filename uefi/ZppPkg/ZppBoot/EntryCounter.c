/** @file
  Counts the boots of loader entries in their file names (Boot Loader Specification, "Boot counting").
**/
#include "LoaderEntry.h"
#include "Volume.h"

#include <Guid/FileInfo.h>
#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>
#include <Protocol/SimpleFileSystem.h>

/// systemd's Boot Loader Interface: the file whose name has the counter.
#define BOOT_COUNT_PATH  L"LoaderBootCountPath"

BOOLEAN
ZppEntryIsBad (
  IN CONST ZPP_ENTRY  *Entry
  )
{
  return Entry->Rank.Name.Counted && (Entry->Rank.Name.Left == 0);
}

/**
  Opens a file for writing.

  @param[in]  Device  The volume's device.
  @param[in]  Path    The file's path.
  @param[out] File    The open file.

  @retval EFI_SUCCESS  It is open.
  @retval other        The file system's error, EFI_WRITE_PROTECTED if it cannot be changed.
**/
STATIC
EFI_STATUS
OpenForWriting (
  IN  EFI_HANDLE         Device,
  IN  CHAR16             *Path,
  OUT EFI_FILE_PROTOCOL  **File
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
    Status = Root->Open (Root, File, Path, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, 0);
    Root->Close (Root);
  }

  return Status;
}

/**
  Renames a file within its folder.

  @param[in] Device  The volume's device.
  @param[in] Path    The file's path.
  @param[in] Name    Its new name.

  @retval EFI_SUCCESS  The file is renamed.
  @retval other        The file system's error.
**/
STATIC
EFI_STATUS
RenameFile (
  IN EFI_HANDLE    Device,
  IN CHAR16        *Path,
  IN CONST CHAR16  *Name
  )
{
  EFI_FILE_PROTOCOL  *File;
  EFI_FILE_INFO      *Information;
  UINTN              Size;
  EFI_STATUS         Status;

  Status = OpenForWriting (Device, Path, &File);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  // The new name can be longer than the old one.
  Size        = SIZE_OF_EFI_FILE_INFO + StrSize (Path) + StrSize (Name);
  Information = AllocateZeroPool (Size);
  Status      = Information == NULL ? EFI_OUT_OF_RESOURCES :
                File->GetInfo (File, &gEfiFileInfoGuid, &Size, Information);
  if (!EFI_ERROR (Status)) {
    CopyMem (Information->FileName, Name, StrSize (Name));
    Information->Size = SIZE_OF_EFI_FILE_INFO + StrSize (Name);
    Status            = File->SetInfo (File, &gEfiFileInfoGuid, (UINTN)Information->Size, Information);
  }

  if (Information != NULL) {
    FreePool (Information);
  }

  File->Close (File);
  return Status;
}

/**
  Renames an entry's file to the name with a try less.

  @param[in] Device  The volume's device.
  @param[in] Entry   The entry; counted, with a try left.
  @param[in] Path    The file's path.
  @param[in] Next    The new path.

  @retval EFI_SUCCESS  The file is renamed.
  @retval other        The error.
**/
STATIC
EFI_STATUS
CountInName (
  IN EFI_HANDLE       Device,
  IN CONST ZPP_ENTRY  *Entry,
  IN CHAR16           *Path,
  IN CONST CHAR16     *Next
  )
{
  if ((Path == NULL) || (Next == NULL)) {
    return EFI_OUT_OF_RESOURCES;
  }

  return RenameFile (Device, Path, Next + StrLen (Entry->Folder) + 1);
}

VOID
ZppCountTry (
  IN EFI_HANDLE       Device,
  IN CONST ZPP_ENTRY  *Entry
  )
{
  CHAR8       *Name;
  CHAR16      *Path;
  CHAR16      *Next;
  EFI_STATUS  Status;

  if (!Entry->Rank.Name.Counted || ZppEntryIsBad (Entry)) {
    return;
  }

  Next = NULL;
  Path = CatSPrint (NULL, L"%s\\%a", Entry->Folder, Entry->Text);
  Name = AllocatePool (Entry->Rank.Name.Stem.Length + Entry->Rank.Name.Suffix.Length + ZPP_BLS_COUNTER_MAX);
  if (Name != NULL) {
    ZppBlsNextName (&Entry->Rank.Name, Name);
    Next = CatSPrint (NULL, L"%s\\%a", Entry->Folder, Name);
    FreePool (Name);
  }

  Status = CountInName (Device, Entry, Path, Next);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot count the boot in the name of %s: %r\n", Path, Status);
  } else {
    gRT->SetVariable (
           BOOT_COUNT_PATH,
           &gZppBootLoaderInterfaceGuid,
           EFI_VARIABLE_BOOTSERVICE_ACCESS | EFI_VARIABLE_RUNTIME_ACCESS,
           StrSize (Next),
           Next
           );
  }

  if (Path != NULL) {
    FreePool (Path);
  }

  if (Next != NULL) {
    FreePool (Next);
  }
}
