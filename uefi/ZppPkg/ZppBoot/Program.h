/** @file
  Starts EFI programs: operating systems and their loaders.
**/
#ifndef ZPP_BOOT_PROGRAM_H_
#define ZPP_BOOT_PROGRAM_H_

#include <Uefi.h>
#include <Protocol/DevicePath.h>

/**
  Loads an EFI program.

  @param[in]  ParentImage  This program's image.
  @param[in]  BootPolicy   TRUE: the firmware chose the program, FALSE: its path is exact.
  @param[in]  DevicePath   The program's full device path.
  @param[out] Program      Its image.

  @retval EFI_SUCCESS          It is loaded.
  @retval EFI_ALREADY_STARTED  It is this very program.
  @retval other                What LoadImage() returned; nothing stays loaded.
**/
EFI_STATUS
ZppLoadProgram (
  IN  EFI_HANDLE                ParentImage,
  IN  BOOLEAN                   BootPolicy,
  IN  EFI_DEVICE_PATH_PROTOCOL  *DevicePath,
  OUT EFI_HANDLE                *Program
  );

/**
  Starts a loaded program. Comes back only if the program does.

  @param[in] Program          Its image.
  @param[in] LoadOptions      What it gets as load options; may be NULL.
  @param[in] LoadOptionsSize  Their size in bytes.

  @return What the program returned.
**/
EFI_STATUS
ZppStartProgram (
  IN EFI_HANDLE  Program,
  IN VOID        *LoadOptions OPTIONAL,
  IN UINT32      LoadOptionsSize
  );

#endif
