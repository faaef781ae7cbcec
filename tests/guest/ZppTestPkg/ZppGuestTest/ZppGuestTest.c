/** @file
  Checks on every CPU that zpp's guest behaves as specified.

  Prints "ok: name" or "FAIL: name (CPU n): ..." for each check, then "ZPP-TEST: PASS" or
  "ZPP-TEST: FAIL n", and turns the machine off. With "expect=bare" on a machine without zpp it
  runs the same checks, so a check that fails in both cases is itself wrong.
**/
#include "Checks.h"
#include "UserMode.h"
#include "Verdict.h"

#include <Library/BaseLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

/// The checks of memory come last: if they broke something, the other checks would fail, too.
STATIC CONST ZPP_CHECK  *CONST  mTables[] = {
  gZppCpuidChecks,
  gZppHypercallChecks,
  gZppMsrChecks,
  gZppMicrocodeChecks,
  gZppRoutingChecks,
  gZppControlChecks,
  gZppXcr0Checks,
  gZppInstructionChecks,
  gZppTrapChecks,
  gZppNmiChecks,
  gZppResumeChecks,
  gZppXapicChecks,
  gZppMemoryChecks,
};

/**
  Reads the command line and finds the CPUs.

  @param[in]  ImageHandle  This program's image.
  @param[out] Test         The test.

  @retval EFI_SUCCESS  The checks can run.
  @retval other        The error, which has been printed.
**/
STATIC
EFI_STATUS
Prepare (
  IN  EFI_HANDLE  ImageHandle,
  OUT ZPP_TEST    *Test
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *Image;
  EFI_STATUS                 Status;
  UINTN                      Enabled;

  *Test  = (ZPP_TEST) { 0 };
  Status = gBS->HandleProtocol (ImageHandle, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = ZppReadOptions (Image->LoadOptions, Image->LoadOptionsSize, &Test->Options);
  if (EFI_ERROR (Status)) {
    Print (L"usage: expect=bare|vtx|amdv [cpus=N] [rounds=N] [strict-msrs=1]\n");
    return Status;
  }

  Status = gBS->LocateProtocol (&gEfiMpServiceProtocolGuid, NULL, (VOID **)&Test->Mp);
  if (!EFI_ERROR (Status)) {
    Status = Test->Mp->GetNumberOfProcessors (Test->Mp, &Test->CpuCount, &Enabled);
  }

  if (!EFI_ERROR (Status)) {
    Status = Test->Mp->WhoAmI (Test->Mp, &Test->Bsp);
  }

  if (!EFI_ERROR (Status)) {
    Status = ZppPrepareCpus (Test);
  }

  if (!EFI_ERROR (Status)) {
    Status = ZppPrepareModes (Test);
  }

  if (EFI_ERROR (Status)) {
    Print (L"cannot find the CPUs: %r\n", Status);
  }

  return Status;
}

/**
  Runs the checks of a table.

  @param[in,out] Test   The test.
  @param[in]     Check  The first one.
**/
STATIC
VOID
RunTable (
  IN OUT ZPP_TEST         *Test,
  IN     CONST ZPP_CHECK  *Check
  )
{
  for ( ; Check->Name != NULL; Check++) {
    ZppRunCheck (Test, Check);
  }
}

/**
  Runs all checks.

  @param[in,out] Test  The test.
**/
STATIC
VOID
RunAll (
  IN OUT ZPP_TEST  *Test
  )
{
  UINTN  Table;

  if (Test->Options.Cpus != 0) {
    ZppReport (Test, "number of CPUs", Test->Options.Cpus, Test->CpuCount);
  }

  if (Test->Options.X2Apic != 0) {
    ZppEnterX2Apic (Test);
  }

  // The other checks make sense only on the expected machine.
  RunTable (Test, gZppIdentityChecks);
  if (Test->Failures != 0) {
    return;
  }

  if (Test->Options.MachineCheck != 0) {
    ZppCheckMachineCheck (Test);
    return;
  }

  ZppPrepareMemoryChecks (Test);
  for (Table = 0; Table < ARRAY_SIZE (mTables); Table++) {
    RunTable (Test, mTables[Table]);
  }

  ZppCheckModes (Test);
  ZppCheckProcessors (Test);
  ZppMeasureCost ();
  ZppCheckStartup (Test);
}

/**
  The program's entry point.

  @param[in] ImageHandle  This program's image.
  @param[in] SystemTable  The system table.

  @retval EFI_ABORTED  The checks could not run.
**/
EFI_STATUS
EFIAPI
ZppGuestTestEntryPoint (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  ZPP_TEST  Test;

  if (EFI_ERROR (Prepare (ImageHandle, &Test))) {
    Test.Failures = 1;
  } else {
    RunAll (&Test);
  }

  ZppPrintVerdict (Test.Failures);
  ZppPowerOff ();
  return EFI_ABORTED;
}
