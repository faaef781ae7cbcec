/** @file
  Gives a Linux kernel its initrd.
**/
#ifndef ZPP_BOOT_INITRD_H_
#define ZPP_BOOT_INITRD_H_

#include <Uefi.h>

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
  );

/**
  Takes the offer back, if there is one.
**/
VOID
ZppWithdrawInitrd (
  VOID
  );

#endif
