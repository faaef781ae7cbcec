/** @file
  Reports why the hypervisor did not start.
**/
#include "Failure.h"

#include <Library/BaseLib.h>
#include <Library/PrintLib.h>
#include <Library/UefiBootServicesTableLib.h>

#define REASON_MAX  256

EFI_STATUS
ZppEfiStatus (
  IN enum zpp_status  Status
  )
{
  switch (Status) {
    case ZPP_OK:
      return EFI_SUCCESS;
    case ZPP_BAD_ELF:
      return EFI_VOLUME_CORRUPTED;
    case ZPP_BAD_BOOT_INFO:
      return EFI_INCOMPATIBLE_VERSION;
    case ZPP_NO_MEMORY:
      return EFI_OUT_OF_RESOURCES;
    case ZPP_NO_VIRTUALIZATION:
    case ZPP_MISSING_FEATURE:
      return EFI_UNSUPPORTED;
    case ZPP_LOCKED_BY_FIRMWARE:
      return EFI_ACCESS_DENIED;
    case ZPP_IN_USE:
      return EFI_ALREADY_STARTED;
    default:
      return EFI_DEVICE_ERROR;
  }
}

EFI_STATUS
ZppExitWithReason (
  IN EFI_HANDLE   ImageHandle,
  IN EFI_STATUS   Status,
  IN CONST CHAR8  *Reason,
  IN CONST CHAR8  *Detail
  )
{
  CHAR16       *Text;
  UINTN        Length;
  CONST CHAR8  *Format;

  // Exit() requires pool memory for the data, which the caller of StartImage() frees.
  if (EFI_ERROR (gBS->AllocatePool (EfiBootServicesData, REASON_MAX * sizeof (CHAR16), (VOID **)&Text))) {
    return Status;
  }

  Format = Detail[0] == '\0' ? "%a" : "%a (%a)";
  Length = UnicodeSPrintAsciiFormat (Text, REASON_MAX * sizeof (CHAR16), Format, Reason, Detail);
  gBS->Exit (ImageHandle, Status, (Length + 1) * sizeof (CHAR16), Text);

  gBS->FreePool (Text);
  return Status;
}
