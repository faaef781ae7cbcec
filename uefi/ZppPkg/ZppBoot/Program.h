/** @file
  Starts EFI programs: operating systems and their loaders.
**/
#ifndef ZPP_BOOT_PROGRAM_H_
#define ZPP_BOOT_PROGRAM_H_

#include <Uefi.h>
#include <Protocol/DevicePath.h>

/**
  Loads an EFI program by its device path.

  @param[in]  ParentImage  This program's image.
  @param[in]  BootPolicy   TRUE: the firmware may choose the file, FALSE: the path is exact.
  @param[in]  DevicePath   The program's full device path.
  @param[out] Program      Its image.

  @retval EFI_SUCCESS          The program is loaded.
  @retval EFI_ALREADY_STARTED  The path leads to this program itself.
  @retval other                The error from LoadImage(); nothing stays loaded.
**/
EFI_STATUS
ZppLoadProgram (
  IN  EFI_HANDLE                ParentImage,
  IN  BOOLEAN                   BootPolicy,
  IN  EFI_DEVICE_PATH_PROTOCOL  *DevicePath,
  OUT EFI_HANDLE                *Program
  );

/**
  Loads an EFI program by its path on a volume.

  @param[in]  ParentImage  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Path         The program's path.
  @param[out] Program      Its image.

  @retval EFI_SUCCESS           The program is loaded.
  @retval EFI_OUT_OF_RESOURCES  There is not enough memory for the device path.
  @retval other                 The error from ZppLoadProgram().
**/
EFI_STATUS
ZppLoadFile (
  IN  EFI_HANDLE    ParentImage,
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Path,
  OUT EFI_HANDLE    *Program
  );

/**
  Starts a loaded program. Returns only if the program does.

  @param[in] Program          Its image.
  @param[in] LoadOptions      Its load options; may be NULL.
  @param[in] LoadOptionsSize  Their size in bytes.

  @return The program's exit status.
**/
EFI_STATUS
ZppStartProgram (
  IN EFI_HANDLE  Program,
  IN VOID        *LoadOptions OPTIONAL,
  IN UINT32      LoadOptionsSize
  );

#endif
