/** @file
  Loads a Windows driver into memory.
**/
#ifndef ZPP_TEST_IMAGE_H_
#define ZPP_TEST_IMAGE_H_

#include <Uefi.h>
#include "Kernel.h"

/// DriverEntry. The driver only passes on its DRIVER_OBJECT and UNICODE_STRING.
typedef
NTSTATUS
(EFIAPI *ZPP_DRIVER_ENTRY) (
  IN VOID  *Driver,
  IN VOID  *RegistryPath
  );

typedef struct {
  EFI_PHYSICAL_ADDRESS    Base;  ///< The memory, which is mapped at ZPP_DRIVER_ADDRESS.
  UINTN                   Pages;
  ZPP_DRIVER_ENTRY        Entry;
} ZPP_DRIVER_IMAGE;

/**
  Loads a driver's file: its sections with their access rights, relocations and imports.

  @param[in]  File   The file.
  @param[out] Image  The driver.

  @retval EFI_SUCCESS      The driver is loaded.
  @retval EFI_UNSUPPORTED  The kernel lacks a function that it imports.
  @retval other            The file is not a driver, or there is not enough memory.
**/
EFI_STATUS
ZppLoadDriver (
  IN  VOID              *File,
  OUT ZPP_DRIVER_IMAGE  *Image
  );

/**
  Unloads a driver: unmaps and frees its memory.

  @param[in] Image  The driver.
**/
VOID
ZppUnloadDriver (
  IN CONST ZPP_DRIVER_IMAGE  *Image
  );

#endif
