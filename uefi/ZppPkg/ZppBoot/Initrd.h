/** @file
  Passes an initrd to a Linux kernel.
**/
#ifndef ZPP_BOOT_INITRD_H_
#define ZPP_BOOT_INITRD_H_

#include <Uefi.h>

/**
  Offers a file as the initrd where Linux's EFI stub looks for it: LoadFile2 on a vendor device
  path. The file is read when the kernel asks for it, straight into the kernel's buffer.

  @param[in] Device  The volume's device.
  @param[in] Path    The file's path.

  @retval EFI_SUCCESS  The initrd is offered.
  @retval other        The error of the file system or the firmware.
**/
EFI_STATUS
ZppOfferInitrd (
  IN EFI_HANDLE    Device,
  IN CONST CHAR16  *Path
  );

/**
  Withdraws the initrd, if one is offered.
**/
VOID
ZppWithdrawInitrd (
  VOID
  );

#endif
