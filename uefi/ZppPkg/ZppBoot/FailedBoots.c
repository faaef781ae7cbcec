/** @file
  Counts the boots with the hypervisor that did not complete, in a variable (docs/adr/0019).
**/
#include "FailedBoots.h"

#include <Library/BaseMemoryLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

#define RECORD_NAME        L"ZppBootRecord"
#define RECORD_ATTRIBUTES  (EFI_VARIABLE_NON_VOLATILE | EFI_VARIABLE_BOOTSERVICE_ACCESS | EFI_VARIABLE_RUNTIME_ACCESS)

/**
  Writes the variable, and prints the error if that fails.

  @param[in] Record  Its content; NULL: deletes it.
**/
STATIC
VOID
WriteRecord (
  IN CONST struct zpp_boot_record  *Record OPTIONAL
  )
{
  EFI_STATUS  Status;
  UINTN       Size;

  Size   = Record == NULL ? 0 : sizeof (*Record);
  Status = gRT->SetVariable (RECORD_NAME, &gZppVariableGuid, RECORD_ATTRIBUTES, Size, (VOID *)Record);
  if (Status == EFI_INVALID_PARAMETER) {
    // A variable that has other attributes can only be deleted.
    gRT->SetVariable (RECORD_NAME, &gZppVariableGuid, 0, 0, NULL);
    Status = gRT->SetVariable (RECORD_NAME, &gZppVariableGuid, RECORD_ATTRIBUTES, Size, (VOID *)Record);
  }

  if (EFI_ERROR (Status) && !((Record == NULL) && (Status == EFI_NOT_FOUND))) {
    Print (L"zpp: cannot write the variable %s, so failed boots are not counted: %r\n", RECORD_NAME, Status);
  }
}

/**
  Reads the clock.

  @param[out] Now  The time in seconds.

  @retval EFI_SUCCESS  It is valid.
  @retval other        The error of the clock.
**/
STATIC
EFI_STATUS
ReadClock (
  OUT UINT64  *Now
  )
{
  EFI_TIME    Time;
  EFI_STATUS  Status;

  Status = gRT->GetTime (&Time, NULL);
  if (!EFI_ERROR (Status)) {
    *Now = ZppSeconds (Time.Year, Time.Month, Time.Day, Time.Hour, Time.Minute, Time.Second);
  }

  return Status;
}

VOID
ZppReadBoots (
  IN  UINT16     Tries,
  OUT ZPP_BOOTS  *Boots
  )
{
  EFI_STATUS  Status;
  UINTN       Size;

  ZeroMem (Boots, sizeof (*Boots));
  if (Tries == 0) {
    return;
  }

  Status = ReadClock (&Boots->Now);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot read the clock, so failed boots are not counted: %r\n", Status);
    return;
  }

  Boots->Tries = Tries;
  Size         = sizeof (Boots->Record);
  Status       = gRT->GetVariable (RECORD_NAME, &gZppVariableGuid, NULL, &Size, &Boots->Record);
  if (Status == EFI_NOT_FOUND) {
    return;
  }

  if (EFI_ERROR (Status) || !ZppBootRecordIsValid (&Boots->Record, Size)) {
    Print (L"zpp: the variable %s is not valid; failed boots are counted from 0\n", RECORD_NAME);
    return;
  }

  Boots->HasRecord = TRUE;
  Boots->Failed    = ZppBootRecordFailed (&Boots->Record, Boots->Now);
}

BOOLEAN
ZppTooManyFailed (
  IN CONST ZPP_BOOTS  *Boots
  )
{
  return (Boots->Tries != 0) && (Boots->Failed >= Boots->Tries);
}

VOID
ZppCountBoot (
  IN CONST ZPP_BOOTS  *Boots
  )
{
  struct zpp_boot_record  Record;

  if (Boots->Tries != 0) {
    ZppBootRecordStart (&Record, (unsigned)Boots->Failed, Boots->Now);
    WriteRecord (&Record);
  }
}

VOID
ZppUncountBoot (
  IN CONST ZPP_BOOTS  *Boots
  )
{
  if (Boots->Tries != 0) {
    WriteRecord (Boots->HasRecord ? &Boots->Record : NULL);
  }
}

VOID
ZppKeepOut (
  IN CONST ZPP_BOOTS  *Boots
  )
{
  struct zpp_boot_record  Record;

  if (Boots->HasRecord && (Boots->Record.state == ZPP_BOOT_STARTED)) {
    ZppBootRecordLeaveOut (&Record, (unsigned)Boots->Failed);
    WriteRecord (&Record);
  }
}
