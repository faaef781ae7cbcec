/** @file
  The end of a test program.
**/
#include "Verdict.h"

#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

#define SERIAL_DRAIN_US  (200 * 1000)

VOID
ZppPrintVerdict (
  IN UINTN  Failures
  )
{
  if (Failures == 0) {
    Print (L"ZPP-TEST: PASS\n");
  } else {
    Print (L"ZPP-TEST: FAIL %d\n", Failures);
  }
}

VOID
ZppPowerOff (
  VOID
  )
{
  gBS->Stall (SERIAL_DRAIN_US);
  gRT->ResetSystem (EfiResetShutdown, EFI_SUCCESS, 0, NULL);
}
