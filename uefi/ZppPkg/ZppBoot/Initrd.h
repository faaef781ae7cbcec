/** @file
  Passes initrds to a Linux kernel.
**/
#ifndef ZPP_BOOT_INITRD_H_
#define ZPP_BOOT_INITRD_H_

#include <Uefi.h>

/**
  Offers files as the initrd where Linux's EFI stub looks for it: LoadFile2 on a vendor device path.
  The files are read when the kernel asks for them, one after the other into the kernel's buffer.
  A file that cannot be opened is reported and left out.

  @param[in] Device  The volume's device.
  @param[in] Paths   The files' paths.
  @param[in] Count   Their number; 0: nothing is offered.
**/
VOID
ZppOfferInitrds (
  IN EFI_HANDLE  Device,
  IN CHAR16      **Paths,
  IN UINTN       Count
  );

/**
  Withdraws what is offered.
**/
VOID
ZppWithdrawInitrds (
  VOID
  );

#endif
