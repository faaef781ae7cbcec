/** @file
  Checks and their results.
**/
#include "Test.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

//
// Long enough for an emulator that runs a hundred times slower than the machine it emulates.
//
#define AP_TIMEOUT_US  (60 * 1000 * 1000)

STATIC ZPP_TEST_CPU        *mCpus;
STATIC ZPP_CHECK_FUNCTION  mFunction;

VOID
ZppExpect (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *What,
  IN     UINT64        Expected,
  IN     UINT64        Got
  )
{
  if ((Expected == Got) || Cpu->Failed) {
    return;
  }

  Cpu->Failed   = TRUE;
  Cpu->Expected = Expected;
  Cpu->Got      = Got;
  AsciiStrnCpyS (Cpu->What, sizeof (Cpu->What), What, sizeof (Cpu->What) - 1);
}

VOID
ZppSkip (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  Cpu->Skipped = TRUE;
}

BOOLEAN
ZppExpectsZpp (
  IN CONST ZPP_TEST  *Test
  )
{
  return Test->Options.Expect != ExpectBare;
}

/**
  Checks whether a check applies to this test.

  @param[in] Test  The test.
  @param[in] When  When the check applies.

  @retval TRUE   It applies.
  @retval FALSE  It does not.
**/
STATIC
BOOLEAN
Applies (
  IN CONST ZPP_TEST  *Test,
  IN ZPP_CHECK_WHEN  When
  )
{
  switch (When) {
    case CheckZpp:
      return ZppExpectsZpp (Test);
    case CheckBare:
      return !ZppExpectsZpp (Test);
    case CheckVtx:
      return Test->Options.Expect == ExpectVtx;
    case CheckAmdv:
      return Test->Options.Expect == ExpectAmdv;
    default:
      return TRUE;
  }
}

/**
  Runs the current check on the current CPU.

  @param[in,out] Cpu  The CPU.
**/
STATIC
VOID
RunOnThisCpu (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  BOOLEAN  Interrupts;

  Interrupts = SaveAndDisableInterrupts ();
  ZppFaultsBegin (Cpu->Area);
  mFunction (Cpu);
  ZppFaultsEnd (Cpu->Area);
  Cpu->Ran = TRUE;
  SetInterruptState (Interrupts);
}

/**
  Runs the current check on an AP.

  @param[in,out] Buffer  The ZPP_TEST.
**/
STATIC
VOID
EFIAPI
ApProcedure (
  IN OUT VOID  *Buffer
  )
{
  ZPP_TEST  *Test;
  UINTN     Cpu;

  Test = Buffer;
  if (!EFI_ERROR (Test->Mp->WhoAmI (Test->Mp, &Cpu)) && (Cpu < Test->CpuCount)) {
    RunOnThisCpu (&mCpus[Cpu]);
  }
}

/**
  Prints the result of the last check.

  @param[in,out] Test  The test.
  @param[in]     Name  The check's name.
**/
STATIC
VOID
PrintResult (
  IN OUT ZPP_TEST     *Test,
  IN     CONST CHAR8  *Name
  )
{
  UINTN  Index;
  UINTN  Failed;
  UINTN  Skipped;

  Failed  = 0;
  Skipped = 0;
  for (Index = 0; Index < Test->CpuCount; Index++) {
    if (!mCpus[Index].Ran) {
      Print (L"FAIL: %a (CPU %d): it did not finish\n", Name, Index);
      Failed++;
    } else if (mCpus[Index].Failed) {
      Print (
        L"FAIL: %a (CPU %d): %a: expected 0x%lx got 0x%lx\n",
        Name,
        Index,
        mCpus[Index].What,
        mCpus[Index].Expected,
        mCpus[Index].Got
        );
      Failed++;
    } else if (mCpus[Index].Skipped) {
      Skipped++;
    }
  }

  Test->Failures += Failed;
  if (Failed == 0) {
    Print (L"%a: %a\n", Skipped == Test->CpuCount ? "skip" : "ok", Name);
  }
}

VOID
ZppRunCheck (
  IN OUT ZPP_TEST         *Test,
  IN     CONST ZPP_CHECK  *Check
  )
{
  UINTN  Index;

  if (!Applies (Test, Check->When)) {
    return;
  }

  mFunction = Check->Function;
  for (Index = 0; Index < Test->CpuCount; Index++) {
    mCpus[Index].Ran     = FALSE;
    mCpus[Index].Skipped = FALSE;
    mCpus[Index].Failed  = FALSE;
  }

  if (Test->CpuCount > 1) {
    // Ran stays FALSE for a CPU that does not return.
    Test->Mp->StartupAllAPs (Test->Mp, ApProcedure, FALSE, NULL, AP_TIMEOUT_US, Test, NULL);
  }

  RunOnThisCpu (&mCpus[Test->Bsp]);
  PrintResult (Test, Check->Name);
}

VOID
ZppReport (
  IN OUT ZPP_TEST     *Test,
  IN     CONST CHAR8  *Name,
  IN     UINT64       Expected,
  IN     UINT64       Got
  )
{
  if (Expected == Got) {
    Print (L"ok: %a\n", Name);
    return;
  }

  Test->Failures++;
  Print (L"FAIL: %a (CPU %d): expected 0x%lx got 0x%lx\n", Name, Test->Bsp, Expected, Got);
}

EFI_STATUS
ZppPrepareCpus (
  IN OUT ZPP_TEST  *Test
  )
{
  UINTN           Index;
  ZPP_FAULT_AREA  *Areas;

  mCpus = AllocateZeroPool (Test->CpuCount * sizeof (*mCpus));
  Areas = AllocatePages (EFI_SIZE_TO_PAGES (Test->CpuCount * sizeof (*Areas)));
  if ((mCpus == NULL) || (Areas == NULL)) {
    return EFI_OUT_OF_RESOURCES;
  }

  for (Index = 0; Index < Test->CpuCount; Index++) {
    mCpus[Index].Test   = Test;
    mCpus[Index].Cpu    = Index;
    mCpus[Index].Area   = &Areas[Index];
    mCpus[Index].Faults = &Areas[Index].Faults;
  }

  return EFI_SUCCESS;
}
