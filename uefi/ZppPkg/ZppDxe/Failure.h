/** @file
  How the driver says why there is no hypervisor.
**/
#ifndef ZPP_DXE_FAILURE_H_
#define ZPP_DXE_FAILURE_H_

#include <Uefi.h>
#include <zpp/status.h>

/**
  The EFI status for a status of the loader or the core.

  @param[in] Status  The status.

  @return The closest EFI status; EFI_SUCCESS only for ZPP_OK.
**/
EFI_STATUS
ZppEfiStatus (
  IN enum zpp_status  Status
  );

/**
  Leaves the driver with a reason, which whoever started it gets as exit data.

  Returns only if the firmware has no memory for the reason or refuses to leave.

  @param[in] ImageHandle  The driver's image.
  @param[in] Status       The EFI status to leave with, an error.
  @param[in] Reason       One line of ASCII text.
  @param[in] Detail       What the reason is about; may be empty.

  @return Status.
**/
EFI_STATUS
ZppExit (
  IN EFI_HANDLE   ImageHandle,
  IN EFI_STATUS   Status,
  IN CONST CHAR8  *Reason,
  IN CONST CHAR8  *Detail
  );

#endif
