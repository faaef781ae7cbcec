/** @file
  Says whether the hypervisor will run on this machine, and saves what the machine shows.
**/
#ifndef ZPP_BOOT_DIAGNOSE_H_
#define ZPP_BOOT_DIAGNOSE_H_

#include <Uefi.h>

/**
  Looks at every CPU and at the firmware, prints whether the hypervisor will run and what usually
  helps if not, and writes \EFI\zpp\machine.json. A fault is printed in one line.

  @param[in] ImageHandle  This program's image. Not used.
  @param[in] Device       The volume's device.
**/
VOID
ZppDiagnose (
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  );

#endif
