/** @file
  Reports why the hypervisor did not start.
**/
#ifndef ZPP_DXE_FAILURE_H_
#define ZPP_DXE_FAILURE_H_

#include <Uefi.h>
#include <zpp/status.h>

/**
  Converts a status of the loader or the core to an EFI status.

  @param[in] Status  The status.

  @return The closest EFI status; EFI_SUCCESS only for ZPP_OK.
**/
EFI_STATUS
ZppEfiStatus (
  IN enum zpp_status  Status
  );

/**
  Exits the driver and passes a reason to the caller of StartImage() as exit data.

  Returns only if the firmware is out of memory or Exit() fails.

  @param[in] ImageHandle  The driver's image.
  @param[in] Status       The exit status, an error.
  @param[in] Reason       One line of ASCII text.
  @param[in] Detail       Added to the reason in parentheses; may be empty.

  @return Status.
**/
EFI_STATUS
ZppExitWithReason (
  IN EFI_HANDLE   ImageHandle,
  IN EFI_STATUS   Status,
  IN CONST CHAR8  *Reason,
  IN CONST CHAR8  *Detail
  );

#endif
