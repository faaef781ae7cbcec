/** @file
  Files on the volume that ZppBoot was started from.
**/
#include "Volume.h"

#include <Guid/FileInfo.h>
#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>

/**
  Gets a file's size.

  @param[in]  File  The open file.
  @param[out] Size  Its size in bytes.

  @retval EFI_SUCCESS    Size is valid.
  @retval EFI_NOT_FOUND  The path names a directory.
  @retval other          The file system's error.
**/
STATIC
EFI_STATUS
GetSize (
  IN  EFI_FILE_PROTOCOL  *File,
  OUT UINT64             *Size
  )
{
  EFI_FILE_INFO  *Information;
  UINTN          InformationSize;
  EFI_STATUS     Status;

  InformationSize = 0;
  Status          = File->GetInfo (File, &gEfiFileInfoGuid, &InformationSize, NULL);
  if (Status != EFI_BUFFER_TOO_SMALL) {
    return EFI_ERROR (Status) ? Status : EFI_DEVICE_ERROR;
  }

  Information = AllocatePool (InformationSize);
  if (Information == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  Status = File->GetInfo (File, &gEfiFileInfoGuid, &InformationSize, Information);
  if (!EFI_ERROR (Status)) {
    Status = (Information->Attribute & EFI_FILE_DIRECTORY) != 0 ? EFI_NOT_FOUND : EFI_SUCCESS;
    *Size  = Information->FileSize;
  }

  FreePool (Information);
  return Status;
}

/**
  Opens a file or a folder for reading.

  @param[in]  Device  The volume's device.
  @param[in]  Path    Its path.
  @param[out] File    The open file.

  @retval EFI_SUCCESS  It is open.
  @retval other        The file system's error.
**/
STATIC
EFI_STATUS
Open (
  IN  EFI_HANDLE         Device,
  IN  CONST CHAR16       *Path,
  OUT EFI_FILE_PROTOCOL  **File
  )
{
  EFI_SIMPLE_FILE_SYSTEM_PROTOCOL  *Volume;
  EFI_FILE_PROTOCOL                *Root;
  EFI_STATUS                       Status;

  Status = gBS->HandleProtocol (Device, &gEfiSimpleFileSystemProtocolGuid, (VOID **)&Volume);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = Volume->OpenVolume (Volume, &Root);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = Root->Open (Root, File, (CHAR16 *)Path, EFI_FILE_MODE_READ, 0);
  Root->Close (Root);
  return Status;
}

EFI_STATUS
ZppOpenFolder (
  IN  EFI_HANDLE         Device,
  IN  CONST CHAR16       *Path,
  OUT EFI_FILE_PROTOCOL  **Folder
  )
{
  return Open (Device, Path, Folder);
}

EFI_STATUS
ZppOpenFile (
  IN  EFI_HANDLE         Device,
  IN  CONST CHAR16       *Path,
  OUT EFI_FILE_PROTOCOL  **File,
  OUT UINT64             *Size
  )
{
  EFI_STATUS  Status;

  Status = Open (Device, Path, File);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = GetSize (*File, Size);
  if (EFI_ERROR (Status)) {
    (*File)->Close (*File);
  }

  return Status;
}

EFI_STATUS
ZppReadFile (
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Path,
  IN  UINT64        MaxSize,
  OUT VOID          **Buffer,
  OUT UINTN         *Size
  )
{
  EFI_FILE_PROTOCOL  *File;
  UINT64             FileSize;
  EFI_STATUS         Status;

  Status = ZppOpenFile (Device, Path, &File, &FileSize);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  *Buffer = NULL;
  *Size   = (UINTN)FileSize;
  if (FileSize > MaxSize) {
    Status = EFI_BAD_BUFFER_SIZE;
  } else {
    // AllocatePool() of 0 bytes may fail.
    *Buffer = AllocatePool (*Size + 1);
    Status  = *Buffer == NULL ? EFI_OUT_OF_RESOURCES : File->Read (File, Size, *Buffer);
  }

  if (EFI_ERROR (Status) && (*Buffer != NULL)) {
    FreePool (*Buffer);
  }

  File->Close (File);
  return Status;
}

CHAR16 *
ZppTextToString (
  IN ZPP_TEXT  Text
  )
{
  CHAR16  *Wide;

  Wide = AllocatePool ((Text.Length + 1) * sizeof (CHAR16));
  if (Wide == NULL) {
    return NULL;
  }

  Wide[ZppTextToUtf16 (Text, Wide)] = L'\0';
  return Wide;
}

CHAR16 *
ZppTextToPath (
  IN ZPP_TEXT  Text
  )
{
  CHAR16  *Path;
  UINTN   Index;

  Path = AllocatePool ((Text.Length + 2) * sizeof (CHAR16));
  if (Path == NULL) {
    return NULL;
  }

  // The converted text comes second, and stays there if it lacks the first separator.
  Path[ZppTextToUtf16 (Text, Path + 1) + 1] = L'\0';
  for (Index = 1; Path[Index] != L'\0'; Index++) {
    if (Path[Index] == L'/') {
      Path[Index] = L'\\';
    }
  }

  Path[0] = L'\\';
  if (Path[1] == L'\\') {
    CopyMem (Path, Path + 1, StrSize (Path + 1));
  }

  return Path;
}
