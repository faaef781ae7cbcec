/** @file
  Starts the hypervisor.
**/
#ifndef ZPP_BOOT_HYPERVISOR_H_
#define ZPP_BOOT_HYPERVISOR_H_

#include <Uefi.h>

#include "Conf.h"

/**
  Starts the hypervisor's driver, and prints the result in one line.

  @param[in] ParentImage  This program's image.
  @param[in] Device       The volume's device.
  @param[in] Conf         The settings from zpp.conf.

  @retval TRUE   The hypervisor runs.
  @retval FALSE  It does not.
**/
BOOLEAN
ZppStartHypervisor (
  IN EFI_HANDLE      ParentImage,
  IN EFI_HANDLE      Device,
  IN CONST ZPP_CONF  *Conf
  );

#endif
