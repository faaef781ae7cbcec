/** @file
  A Windows driver in memory.
**/
#ifndef ZPP_TEST_IMAGE_H_
#define ZPP_TEST_IMAGE_H_

#include <Uefi.h>
#include "Kernel.h"

/// DriverEntry, with a DRIVER_OBJECT and a UNICODE_STRING that it only hands on.
typedef
NTSTATUS
(EFIAPI *ZPP_DRIVER_ENTRY) (
  IN VOID  *Driver,
  IN VOID  *RegistryPath
  );

typedef struct {
  EFI_PHYSICAL_ADDRESS    Base;  ///< Its memory; it runs at ZPP_DRIVER_ADDRESS.
  UINTN                   Pages;
  ZPP_DRIVER_ENTRY        Entry;
} ZPP_DRIVER_IMAGE;

/**
  Loads a driver's file: its sections with their access rights, relocations and imports.

  @param[in]  File   The file.
  @param[out] Image  The driver.

  @retval EFI_SUCCESS      It may be entered.
  @retval EFI_UNSUPPORTED  The kernel has not what it imports.
  @retval other            It is no driver, or there is no memory.
**/
EFI_STATUS
ZppLoadDriver (
  IN  VOID              *File,
  OUT ZPP_DRIVER_IMAGE  *Image
  );

/**
  Unloads a driver: its memory is given back, and nothing is where it was.

  @param[in] Image  The driver.
**/
VOID
ZppUnloadDriver (
  IN CONST ZPP_DRIVER_IMAGE  *Image
  );

#endif
