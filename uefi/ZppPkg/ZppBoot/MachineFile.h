/** @file
  The file \EFI\zpp\machine.json.
**/
#ifndef ZPP_BOOT_MACHINE_FILE_H_
#define ZPP_BOOT_MACHINE_FILE_H_

#include <Uefi.h>

/**
  Writes the file, in place of an older one of zpp's, and prints the result in one line. A file that
  could not be written as a whole does not stay.

  @param[in] Device  The volume's device.
  @param[in] Text    The text.
  @param[in] Size    Its size in bytes.
**/
VOID
ZppSaveMachineFile (
  IN EFI_HANDLE   Device,
  IN CONST CHAR8  *Text,
  IN UINTN        Size
  );

#endif
