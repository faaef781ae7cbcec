/** @file
  Passes initrds to a Linux kernel.
**/
#include "Initrd.h"
#include "Volume.h"

#include <Guid/LinuxEfiInitrdMedia.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/DevicePath.h>
#include <Protocol/LoadFile2.h>

#pragma pack (1)
typedef struct {
  VENDOR_DEVICE_PATH          Vendor;
  EFI_DEVICE_PATH_PROTOCOL    End;
} INITRD_DEVICE_PATH;
#pragma pack ()

STATIC CONST INITRD_DEVICE_PATH  mDevicePath = {
  {
    { MEDIA_DEVICE_PATH,    MEDIA_VENDOR_DP,                { sizeof (VENDOR_DEVICE_PATH)       }
    },
    LINUX_EFI_INITRD_MEDIA_GUID
  },
  { END_DEVICE_PATH_TYPE, END_ENTIRE_DEVICE_PATH_SUBTYPE, { sizeof (EFI_DEVICE_PATH_PROTOCOL) }
  }
};

typedef struct {
  EFI_FILE_PROTOCOL    *File;
  UINT64               Size;
  UINT64               Place; ///< In the initrd; each file starts at a multiple of 4, as cpio needs.
} INITRD_FILE;

STATIC INITRD_FILE  *mFiles;
STATIC UINTN        mCount;
STATIC UINT64       mSize;
STATIC EFI_HANDLE   mHandle;

/**
  Reads a file into the kernel's buffer.

  @param[in]  File    The file.
  @param[out] Buffer  The buffer of the whole initrd, filled with zeros.

  @retval EFI_SUCCESS  The file was read.
  @retval other        The file system's error.
**/
STATIC
EFI_STATUS
ReadInitrd (
  IN  CONST INITRD_FILE  *File,
  OUT UINT8              *Buffer
  )
{
  EFI_STATUS  Status;
  UINTN       Size;

  Status = File->File->SetPosition (File->File, 0);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Size   = (UINTN)File->Size;
  Status = File->File->Read (File->File, &Size, Buffer + File->Place);
  return !EFI_ERROR (Status) && (Size != File->Size) ? EFI_DEVICE_ERROR : Status;
}

/**
  EFI_LOAD_FILE2_PROTOCOL.LoadFile(): returns the initrd.

  @param[in]     This        The protocol.
  @param[in]     FilePath    The rest of the device path, which is empty.
  @param[in]     BootPolicy  Must be FALSE.
  @param[in,out] BufferSize  The buffer's size; on return the initrd's.
  @param[out]    Buffer      The initrd.

  @retval EFI_SUCCESS            The buffer contains the initrd.
  @retval EFI_BUFFER_TOO_SMALL   BufferSize is the size needed.
  @retval EFI_UNSUPPORTED        BootPolicy is TRUE.
  @retval EFI_INVALID_PARAMETER  A pointer is NULL.
  @retval other                  The file system's error.
**/
STATIC
EFI_STATUS
EFIAPI
LoadInitrd (
  IN     EFI_LOAD_FILE2_PROTOCOL   *This,
  IN     EFI_DEVICE_PATH_PROTOCOL  *FilePath,
  IN     BOOLEAN                   BootPolicy,
  IN OUT UINTN                     *BufferSize,
  OUT    VOID                      *Buffer OPTIONAL
  )
{
  EFI_STATUS  Status;
  UINTN       Index;

  if ((This == NULL) || (FilePath == NULL) || (BufferSize == NULL)) {
    return EFI_INVALID_PARAMETER;
  }

  if (BootPolicy) {
    return EFI_UNSUPPORTED;
  }

  if ((Buffer == NULL) || (*BufferSize < mSize)) {
    *BufferSize = (UINTN)mSize;
    return EFI_BUFFER_TOO_SMALL;
  }

  *BufferSize = (UINTN)mSize;
  ZeroMem (Buffer, (UINTN)mSize);
  for (Status = EFI_SUCCESS, Index = 0; !EFI_ERROR (Status) && (Index < mCount); Index++) {
    Status = ReadInitrd (&mFiles[Index], Buffer);
  }

  return Status;
}

STATIC EFI_LOAD_FILE2_PROTOCOL  mLoadFile2 = { LoadInitrd };

/**
  Closes the files.
**/
STATIC
VOID
CloseFiles (
  VOID
  )
{
  while (mCount > 0) {
    mCount--;
    mFiles[mCount].File->Close (mFiles[mCount].File);
  }

  if (mFiles != NULL) {
    FreePool (mFiles);
  }

  mFiles = NULL;
  mSize  = 0;
}

VOID
ZppOfferInitrds (
  IN EFI_HANDLE  Device,
  IN CHAR16      **Paths,
  IN UINTN       Count
  )
{
  EFI_STATUS  Status;
  UINTN       Index;

  mFiles = Count == 0 ? NULL : AllocatePool (Count * sizeof (*mFiles));
  for (Index = 0; Index < Count; Index++) {
    Status = mFiles == NULL ? EFI_OUT_OF_RESOURCES :
             ZppOpenFile (Device, Paths[Index], &mFiles[mCount].File, &mFiles[mCount].Size);
    if (EFI_ERROR (Status)) {
      Print (L"zpp: cannot load the initrd %s: %r\n", Paths[Index], Status);
      continue;
    }

    mFiles[mCount].Place = ALIGN_VALUE (mSize, 4);
    mSize                = mFiles[mCount].Place + mFiles[mCount].Size;
    mCount++;
  }

  if (mCount == 0) {
    CloseFiles ();
    return;
  }

  Status = gBS->InstallMultipleProtocolInterfaces (
                  &mHandle,
                  &gEfiDevicePathProtocolGuid,
                  &mDevicePath,
                  &gEfiLoadFile2ProtocolGuid,
                  &mLoadFile2,
                  NULL
                  );
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot offer the initrd: %r\n", Status);
    CloseFiles ();
    mHandle = NULL;
  }
}

VOID
ZppWithdrawInitrds (
  VOID
  )
{
  if (mHandle == NULL) {
    return;
  }

  gBS->UninstallMultipleProtocolInterfaces (
         mHandle,
         &gEfiDevicePathProtocolGuid,
         &mDevicePath,
         &gEfiLoadFile2ProtocolGuid,
         &mLoadFile2,
         NULL
         );
  CloseFiles ();
  mHandle = NULL;
}
