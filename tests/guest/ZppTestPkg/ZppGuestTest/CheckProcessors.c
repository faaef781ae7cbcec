/** @file
  APs that the firmware starts, stops and starts again, by INIT and SIPI.
**/
#include "Apic.h"
#include "Checks.h"
#include "Primitives.h"

#include <Library/SynchronizationLib.h>

#include <zpp/hypercall.h>

#define AP_TIMEOUT_US  (60 * 1000 * 1000)

STATIC volatile UINT32  mRuns;

/**
  Counts a run on an AP that must still be virtualized.

  @param[in,out] Buffer  The ZPP_TEST.
**/
STATIC
VOID
EFIAPI
CountRun (
  IN OUT VOID  *Buffer
  )
{
  BOOLEAN  Virtualized;

  Virtualized = ZppCpuid (ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY).Rbx == ZPP_SIGNATURE_EBX;
  if (Virtualized == ZppExpectsZpp (Buffer)) {
    InterlockedIncrement ((UINT32 *)&mRuns);
  }
}

/**
  Starts all APs repeatedly.

  @param[in,out] Test  The test.
**/
STATIC
VOID
StartAll (
  IN OUT ZPP_TEST  *Test
  )
{
  UINTN       Round;
  EFI_STATUS  Status;

  mRuns  = 0;
  Status = EFI_SUCCESS;
  for (Round = 0; (Round < Test->Options.Rounds) && !EFI_ERROR (Status); Round++) {
    Status = Test->Mp->StartupAllAPs (Test->Mp, CountRun, FALSE, NULL, AP_TIMEOUT_US, Test, NULL);
  }

  ZppReport (Test, "APs start repeatedly", EFI_SUCCESS, Status);
  ZppReport (Test, "each AP ran in each round", (Test->CpuCount - 1) * Test->Options.Rounds, mRuns);
}

/**
  Disables, enables and starts each AP.

  @param[in,out] Test  The test.
**/
STATIC
VOID
DisableAndEnable (
  IN OUT ZPP_TEST  *Test
  )
{
  UINTN       Cpu;
  UINTN       Restarted;
  EFI_STATUS  WhileDisabled;

  mRuns     = 0;
  Restarted = 0;
  for (Cpu = 0; Cpu < Test->CpuCount; Cpu++) {
    if ((Cpu == Test->Bsp) || EFI_ERROR (Test->Mp->EnableDisableAP (Test->Mp, Cpu, FALSE, NULL))) {
      continue;
    }

    WhileDisabled = Test->Mp->StartupThisAP (Test->Mp, CountRun, Cpu, NULL, AP_TIMEOUT_US, Test, NULL);
    if ((WhileDisabled == EFI_INVALID_PARAMETER) &&
        !EFI_ERROR (Test->Mp->EnableDisableAP (Test->Mp, Cpu, TRUE, NULL)) &&
        !EFI_ERROR (Test->Mp->StartupThisAP (Test->Mp, CountRun, Cpu, NULL, AP_TIMEOUT_US, Test, NULL)))
    {
      Restarted++;
    }
  }

  ZppReport (Test, "APs are disabled and enabled", Test->CpuCount - 1, Restarted);
  ZppReport (Test, "each AP ran once enabled", Test->CpuCount - 1, mRuns);
}

/**
  Switches this CPU to x2APIC mode, and counts it if that succeeds.

  @param[in,out] Buffer  Not used.
**/
STATIC
VOID
EFIAPI
EnterX2 (
  IN OUT VOID  *Buffer
  )
{
  ZppApicEnterX2 ();
  if (ZppApicIsX2 ()) {
    InterlockedIncrement ((UINT32 *)&mRuns);
  }
}

/**
  Switches all local APICs to x2APIC mode, the BSP's last, since it starts the others. What the
  firmware sends from then on goes through the ICR's MSR.

  @param[in,out] Test  The test.
**/
VOID
ZppEnterX2Apic (
  IN OUT ZPP_TEST  *Test
  )
{
  if ((ZppCpuid (1, 0).Rcx & BIT21) == 0) {
    ZppReport (Test, "the CPUs have x2APIC", 1, 0);
    return;
  }

  mRuns = 0;
  if (Test->CpuCount > 1) {
    Test->Mp->StartupAllAPs (Test->Mp, EnterX2, FALSE, NULL, AP_TIMEOUT_US, Test, NULL);
  }

  EnterX2 (Test);
  ZppReport (Test, "CPUs in x2APIC mode", Test->CpuCount, mRuns);
}

VOID
ZppCheckProcessors (
  IN OUT ZPP_TEST  *Test
  )
{
  if (Test->CpuCount > 1) {
    StartAll (Test);
    DisableAndEnable (Test);
  }
}
