/** @file
  Continues the boot with the firmware's next boot option.
**/
#ifndef ZPP_BOOT_NEXT_OPTION_H_
#define ZPP_BOOT_NEXT_OPTION_H_

#include <Uefi.h>

/**
  Starts the firmware's boot options one after the other: those after the current one, then those
  before it, then the boot loaders at the usual paths of all disks. Returns only if all of them do.

  @param[in] ParentImage  This program's image.

  @retval EFI_NOT_FOUND  There is nothing to start.
  @retval other          The exit status of the last program started.
**/
EFI_STATUS
ZppStartNextOption (
  IN EFI_HANDLE  ParentImage
  );

#endif
