/** @file
  Goes on with the boot where the firmware would have gone on.
**/
#ifndef ZPP_BOOT_NEXT_OPTION_H_
#define ZPP_BOOT_NEXT_OPTION_H_

#include <Uefi.h>

/**
  Starts the firmware's boot options one after the other: those after this program's own, then
  those before it, then loaders in the usual places of all disks. Comes back only if none stays.

  @param[in] ParentImage  This program's image.

  @retval EFI_NOT_FOUND  There was nothing to start.
  @retval other          What the last program that was started returned.
**/
EFI_STATUS
ZppStartNextOption (
  IN EFI_HANDLE  ParentImage
  );

#endif
