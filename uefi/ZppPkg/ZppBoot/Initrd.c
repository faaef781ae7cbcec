/** @file
  Gives a Linux kernel its initrd.
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
  EFI_LOAD_FILE2_PROTOCOL.LoadFile(): gives the initrd.

  @param[in]     This        The protocol.
  @param[in]     FilePath    What is left of the device path: nothing.
  @param[in]     BootPolicy  Must be FALSE.
  @param[in,out] BufferSize  The buffer's size; gets the initrd's.
  @param[out]    Buffer      Gets the initrd.

  @retval EFI_SUCCESS            The buffer holds the initrd.
  @retval EFI_BUFFER_TOO_SMALL   BufferSize says how much is needed.
  @retval EFI_UNSUPPORTED        BootPolicy is TRUE.
  @retval EFI_INVALID_PARAMETER  A pointer is NULL.
  @retval other                  What the file system returned.
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

/**
  Offers a file as the initrd, where Linux's EFI stub looks for it: LoadFile2 on a device path of
  its own. The file is read when the kernel asks for it, straight to where the kernel wants it.

  @param[in] Device  The volume's device.
  @param[in] Path    The file's path.

  @retval EFI_SUCCESS  The initrd is offered.
  @retval other        What the file system or the firmware returned.
**/
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

/**
  Takes the offer back, if there is one.
**/
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
