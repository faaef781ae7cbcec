/** @file
  The ways to end a boot.
**/
#ifndef ZPP_LOG_TEST_ENDS_H_
#define ZPP_LOG_TEST_ENDS_H_

#include <Uefi.h>
#include <Protocol/SimpleFileSystem.h>

#define LOG_FOLDER  L"\\EFI\\zpp\\logs"
#define INFO_SIZE   (SIZE_OF_EFI_FILE_INFO + 256 * sizeof (CHAR16))

/**
  Opens the root folder of a volume.

  @param[in] Device  The volume's device.

  @return The folder, or NULL.
**/
EFI_FILE_PROTOCOL *
ZppOpenRoot (
  IN EFI_HANDLE  Device
  );

/**
  Ends the boot in the way that a word names.

  @param[in] Device  The volume's device.
  @param[in] Word    The word; another one than these: it waits.
**/
VOID
ZppEndBy (
  IN EFI_HANDLE    Device,
  IN CONST CHAR16  *Word
  );

#endif
