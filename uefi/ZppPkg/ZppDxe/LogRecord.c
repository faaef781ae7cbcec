/** @file
  Lets the next boot find the core's log.
**/
#include "LogRecord.h"

#include <Guid/ZppVariables.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

/**
  Stores the address, unless the variable has it already: that spares the flash memory.

  @param[in] Physical  The record's address.

  @retval EFI_SUCCESS  The variable has this address.
  @retval other        The firmware's error.
**/
STATIC
EFI_STATUS
Store (
  IN UINT64  Physical
  )
{
  UINT64      Stored;
  UINTN       Size;
  UINT32      Attributes;
  EFI_STATUS  Status;

  Size   = sizeof (Stored);
  Status = gRT->GetVariable (ZPP_LOG_RECORD_VARIABLE, &gZppVariableGuid, &Attributes, &Size, &Stored);
  if (!EFI_ERROR (Status) && (Size == sizeof (Stored)) && (Attributes == ZPP_LOG_RECORD_ATTRIBUTES) &&
      (Stored == Physical))
  {
    return EFI_SUCCESS;
  }

  // A variable with other attributes must be deleted first.
  if ((Status == EFI_BUFFER_TOO_SMALL) || (!EFI_ERROR (Status) && (Attributes != ZPP_LOG_RECORD_ATTRIBUTES))) {
    gRT->SetVariable (ZPP_LOG_RECORD_VARIABLE, &gZppVariableGuid, 0, 0, NULL);
  }

  return gRT->SetVariable (
                ZPP_LOG_RECORD_VARIABLE,
                &gZppVariableGuid,
                ZPP_LOG_RECORD_ATTRIBUTES,
                sizeof (Physical),
                &Physical
                );
}

VOID
ZppStoreLogAddress (
  IN CONST struct zpp_loader  *Loader
  )
{
  UINT64      Physical;
  EFI_STATUS  Status;

  Physical = zpp_loader_log_record (Loader);
  Status   = Physical == 0 ? EFI_OUT_OF_RESOURCES : Store (Physical);
  // A Driver#### option starts this driver before there is a console.
  if (!EFI_ERROR (Status) || (gST->ConOut == NULL)) {
    return;
  }

  if (Physical == 0) {
    Print (L"zpp: the log will not survive a reset: memory is too fragmented\n");
  } else {
    Print (L"zpp: the log will not survive a reset: the firmware cannot store a variable: %r; delete unused boot options\n", Status);
  }
}
