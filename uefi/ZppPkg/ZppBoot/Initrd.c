/** @file
  Passes an initrd to a Linux kernel.
**/
#include "Initrd.h"
#include "Volume.h"

#include <Guid/LinuxEfiInitrdMedia.h>
#include <Library/UefiBootServicesTableLib.h>
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

STATIC EFI_FILE_PROTOCOL  *mFile;
STATIC UINT64             mSize;
STATIC EFI_HANDLE         mHandle;

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

  Status = mFile->SetPosition (mFile, 0);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  *BufferSize = (UINTN)mSize;
  Status      = mFile->Read (mFile, BufferSize, Buffer);
  return !EFI_ERROR (Status) && (*BufferSize != mSize) ? EFI_DEVICE_ERROR : Status;
}

STATIC EFI_LOAD_FILE2_PROTOCOL  mLoadFile2 = { LoadInitrd };

EFI_STATUS
ZppOfferInitrd (
  IN EFI_HANDLE    Device,
  IN CONST CHAR16  *Path
  )
{
  EFI_STATUS  Status;

  Status = ZppOpenFile (Device, Path, &mFile, &mSize);
  if (EFI_ERROR (Status)) {
    return Status;
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
    mFile->Close (mFile);
    mHandle = NULL;
  }

  return Status;
}

VOID
ZppWithdrawInitrd (
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
  mFile->Close (mFile);
  mHandle = NULL;
}
