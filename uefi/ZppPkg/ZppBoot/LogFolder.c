/** @file
  The folder of saved logs.
**/
#include "LogFolder.h"

#include <Guid/FileInfo.h>
#include <Guid/FileSystemInfo.h>
#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/PrintLib.h>
#include <Library/UefiBootServicesTableLib.h>

#define FILES_MAX    16u
#define NUMBER_MAX   99999999u
#define DIGITS       8u
#define NAME_SUFFIX  L".txt"

/// What stays free on the volume, for the system's own updates.
#define FREE_MIN  SIZE_64KB

/// FAT names have up to 255 characters.
#define INFO_SIZE  (SIZE_OF_EFI_FILE_INFO + 256 * sizeof (CHAR16))

/// Our files in the folder.
typedef struct {
  UINTN     Count;
  UINT32    Lowest;
  UINT32    Highest; ///< 0: there are none.
} LOG_FILES;

/**
  Reads the number of a saved log from its name.

  @param[in] Name  A file's name.

  @return The number, 0 for another file.
**/
STATIC
UINT32
NumberOf (
  IN CONST CHAR16  *Name
  )
{
  UINT32  Number;
  UINTN   Index;

  Number = 0;
  for (Index = 0; Index < DIGITS; Index++) {
    if ((Name[Index] < L'0') || (Name[Index] > L'9')) {
      return 0;
    }

    Number = Number * 10 + (Name[Index] - L'0');
  }

  for (Index = 0; Index < sizeof (NAME_SUFFIX) / sizeof (CHAR16); Index++) {
    // Some firmware shows short names in capitals.
    if ((Name[DIGITS + Index] != NAME_SUFFIX[Index]) && (Name[DIGITS + Index] != (NAME_SUFFIX[Index] & ~0x20))) {
      return 0;
    }
  }

  return Number;
}

/**
  Looks through the folder.

  @param[in]  Folder  The open folder.
  @param[out] Files   Our files in it.

  @retval EFI_SUCCESS  Files is valid.
  @retval other        The file system's error.
**/
STATIC
EFI_STATUS
FindFiles (
  IN  EFI_FILE_PROTOCOL  *Folder,
  OUT LOG_FILES          *Files
  )
{
  EFI_FILE_INFO  *Info;
  UINTN          Size;
  UINT32         Number;
  EFI_STATUS     Status;

  *Files = (LOG_FILES) { 0, NUMBER_MAX, 0 };
  Info   = AllocatePool (INFO_SIZE);
  if (Info == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  Status = Folder->SetPosition (Folder, 0);
  while (!EFI_ERROR (Status)) {
    Size   = INFO_SIZE;
    Status = Folder->Read (Folder, &Size, Info);
    if (EFI_ERROR (Status) || (Size == 0)) {
      break;
    }

    Number = (Info->Attribute & EFI_FILE_DIRECTORY) == 0 ? NumberOf (Info->FileName) : 0;
    if (Number != 0) {
      Files->Count++;
      Files->Lowest  = MIN (Files->Lowest, Number);
      Files->Highest = MAX (Files->Highest, Number);
    }
  }

  FreePool (Info);
  return Status;
}

/**
  Opens a saved log.

  @param[in]  Folder  The open folder.
  @param[in]  Number  Its number.
  @param[in]  Mode    The mode of EFI_FILE_PROTOCOL.Open().
  @param[out] Name    Its name.
  @param[out] File    The open file.

  @return The file system's status.
**/
STATIC
EFI_STATUS
OpenLog (
  IN  EFI_FILE_PROTOCOL  *Folder,
  IN  UINT32             Number,
  IN  UINT64             Mode,
  OUT CHAR16             Name[ZPP_LOG_NAME_MAX],
  OUT EFI_FILE_PROTOCOL  **File
  )
{
  UnicodeSPrint (Name, ZPP_LOG_NAME_MAX * sizeof (CHAR16), L"%08d" NAME_SUFFIX, Number);
  return Folder->Open (Folder, File, Name, Mode, 0);
}

/**
  Deletes the oldest saved log.

  @param[in]     Folder  The open folder.
  @param[in,out] Files   Our files in it.

  @return The file system's status.
**/
STATIC
EFI_STATUS
DeleteOldest (
  IN     EFI_FILE_PROTOCOL  *Folder,
  IN OUT LOG_FILES          *Files
  )
{
  CHAR16             Name[ZPP_LOG_NAME_MAX];
  EFI_FILE_PROTOCOL  *File;
  EFI_STATUS         Status;
  UINTN              Before;

  Before = Files->Count;
  Status = OpenLog (Folder, Files->Lowest, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, Name, &File);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = File->Delete (File);
  if (Status != EFI_SUCCESS) { // EFI_WARN_DELETE_FAILURE is not an error code
    return EFI_ERROR (Status) ? Status : EFI_WRITE_PROTECTED;
  }

  Status = FindFiles (Folder, Files);
  return EFI_ERROR (Status) || (Files->Count < Before) ? Status : EFI_VOLUME_CORRUPTED;
}

/**
  Gets the free space of a volume.

  @param[in]  Folder  A folder on it.
  @param[out] Free    The free space in bytes.

  @retval EFI_SUCCESS          Free is valid.
  @retval EFI_WRITE_PROTECTED  The volume cannot be written to.
  @retval other                The file system's error.
**/
STATIC
EFI_STATUS
FreeSpace (
  IN  EFI_FILE_PROTOCOL  *Folder,
  OUT UINT64             *Free
  )
{
  EFI_FILE_SYSTEM_INFO  *Info;
  UINTN                 Size;
  EFI_STATUS            Status;

  Size = INFO_SIZE;
  Info = AllocatePool (Size);
  if (Info == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  Status = Folder->GetInfo (Folder, &gEfiFileSystemInfoGuid, &Size, Info);
  if (!EFI_ERROR (Status)) {
    *Free  = Info->FreeSpace;
    Status = Info->ReadOnly ? EFI_WRITE_PROTECTED : EFI_SUCCESS;
  }

  FreePool (Info);
  return Status;
}

/**
  Deletes old logs until the new one fits.

  @param[in]     Folder  The open folder.
  @param[in]     Size    The new file's size in bytes.
  @param[in,out] Files   Our files in it.

  @retval EFI_SUCCESS      The new file fits.
  @retval EFI_VOLUME_FULL  It does not, though no old log is left.
  @retval other            The file system's error.
**/
STATIC
EFI_STATUS
MakeRoom (
  IN     EFI_FILE_PROTOCOL  *Folder,
  IN     UINTN              Size,
  IN OUT LOG_FILES          *Files
  )
{
  UINT64      Free;
  EFI_STATUS  Status;

  for ( ; ;) {
    Status = FreeSpace (Folder, &Free);
    if (EFI_ERROR (Status) || ((Files->Count < FILES_MAX) && (Free >= Size + FREE_MIN))) {
      return Status;
    }

    if (Files->Count == 0) {
      return EFI_VOLUME_FULL;
    }

    Status = DeleteOldest (Folder, Files);
    if (EFI_ERROR (Status)) {
      return Status;
    }
  }
}

/**
  Opens a folder, or makes it.

  @param[in]  Device  The volume's device.
  @param[out] Folder  The open folder.

  @retval EFI_SUCCESS  The folder is open.
  @retval other        The file system's error.
**/
STATIC
EFI_STATUS
OpenFolder (
  IN  EFI_HANDLE         Device,
  OUT EFI_FILE_PROTOCOL  **Folder
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

  Status = Root->Open (
                   Root,
                   Folder,
                   ZPP_LOG_FOLDER,
                   EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE,
                   EFI_FILE_DIRECTORY
                   );
  Root->Close (Root);
  return Status;
}

EFI_STATUS
ZppWriteLogFile (
  IN  EFI_HANDLE   Device,
  IN  CONST CHAR8  *Text,
  IN  UINTN        Size,
  OUT CHAR16       Name[ZPP_LOG_NAME_MAX]
  )
{
  EFI_FILE_PROTOCOL  *Folder;
  EFI_FILE_PROTOCOL  *File;
  LOG_FILES          Files;
  UINT32             Number;
  UINTN              Written;
  EFI_STATUS         Status;

  Status = OpenFolder (Device, &Folder);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = FindFiles (Folder, &Files);
  Number = Files.Highest + 1;
  if (!EFI_ERROR (Status)) {
    Status = Number > NUMBER_MAX ? EFI_ACCESS_DENIED : MakeRoom (Folder, Size, &Files);
  }

  if (!EFI_ERROR (Status)) {
    Status = OpenLog (
               Folder,
               Number,
               EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE,
               Name,
               &File
               );
  }

  if (!EFI_ERROR (Status)) {
    Written = Size;
    Status  = File->Write (File, &Written, (VOID *)Text);
    if (!EFI_ERROR (Status) && (Written == Size)) {
      Status = File->Flush (File);
      File->Close (File);
    } else {
      Status = EFI_ERROR (Status) ? Status : EFI_VOLUME_FULL;
      File->Delete (File);
    }
  }

  Folder->Close (Folder);
  return Status;
}
