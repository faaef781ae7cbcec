/** @file
  INIT and SIPI that this program sends itself, without the firmware's pauses between them.
**/
#include "Apic.h"
#include "Checks.h"
#include "Hypercall.h"
#include "Puppet.h"

#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>

#define ICR_INIT           0xc500
#define ICR_INIT_DEASSERT  0x8500
#define ICR_TO_OTHERS      (3u << 18)

#define EXIT_REASON_WRMSR          32
#define EXIT_REASON_EPT_VIOLATION  48

/// More writes to the local APIC than zpp traps under VT-x.
#define WRITES_UNTIL_QUIET  20000

/// A busy build machine may leave the AP without time to take its INIT.
#define SIPIS_MAX  100

STATIC ZPP_PUPPET  *mPuppets;
STATIC UINTN       mCount;

/**
  Writes to the local APIC what has no effect, in the way that can start CPUs.
**/
STATIC
VOID
WriteNothing (
  VOID
  )
{
  if (ZppApicIsX2 ()) {
    ZppApicSend (ZppApicId (), ICR_INIT_DEASSERT);
  } else {
    ZppApicWrite (APIC_TPR, ZppApicRead (APIC_TPR));
  }
}

/**
  Writes so often that zpp no longer traps it under VT-x.
**/
STATIC
VOID
BecomeQuiet (
  VOID
  )
{
  UINTN  Index;

  for (Index = 0; Index < WRITES_UNTIL_QUIET; Index++) {
    WriteNothing ();
  }
}

/**
  Fills the puppets' pages again, so that they count their starts from 0.
**/
STATIC
VOID
Forget (
  VOID
  )
{
  UINTN  Index;

  for (Index = 0; Index < mCount; Index++) {
    mPuppets[Index].Page->Starts    = 0;
    mPuppets[Index].Page->StartedCs = 0;
    mPuppets[Index].Page->Command   = PUPPET_NONE;
  }
}

/**
  The pause between INIT and SIPI: Bochs without zpp drops a SIPI that comes before its target's turn.

  @param[in] Test  The test.

  @return The number of PAUSEs.
**/
STATIC
UINTN
Gap (
  IN CONST ZPP_TEST  *Test
  )
{
  return ZppExpectsZpp (Test) ? 0 : 200;
}

/**
  Counts the puppets that start once.

  @return Their number.
**/
STATIC
UINTN
CountStarted (
  VOID
  )
{
  UINTN  Index;
  UINTN  Started;

  Started = 0;
  for (Index = 0; Index < mCount; Index++) {
    Started += ZppPuppetWait (&mPuppets[Index], 1) ? 1 : 0;
  }

  return Started;
}

/**
  Starts each AP by INITs and one SIPI, without a pause.

  @param[in] Test   The test.
  @param[in] Inits  The number of INITs.
  @param[in] Quiet  Whether zpp must not trap the first command.

  @return How many have started.
**/
STATIC
UINTN
StartEach (
  IN CONST ZPP_TEST  *Test,
  IN UINTN           Inits,
  IN BOOLEAN         Quiet
  )
{
  UINTN  Index;
  UINTN  Init;

  Forget ();
  for (Index = 0; Index < mCount; Index++) {
    if (Quiet) {
      BecomeQuiet ();
    }

    for (Init = 1; Init < Inits; Init++) {
      ZppApicSend (mPuppets[Index].ApicId, ICR_INIT);
    }

    ZppApicStart (mPuppets[Index].ApicId, ICR_INIT, ZppPuppetSipi (&mPuppets[Index]), Gap (Test));
    ZppPuppetWait (&mPuppets[Index], 1);
  }

  return CountStarted ();
}

/**
  Sends INIT to all APs, then SIPI to all, without a pause.

  @return How many have started.
**/
STATIC
UINTN
StartBackToBack (
  VOID
  )
{
  UINTN  Index;

  Forget ();
  for (Index = 0; Index < mCount; Index++) {
    ZppApicSend (mPuppets[Index].ApicId, ICR_INIT);
  }

  for (Index = 0; Index < mCount; Index++) {
    ZppApicSend (mPuppets[Index].ApicId, ZppPuppetSipi (&mPuppets[Index]));
  }

  return CountStarted ();
}

/**
  Starts all APs with the shorthand.

  @param[in] Test  The test.

  @return How many have started.
**/
STATIC
UINTN
StartByBroadcast (
  IN CONST ZPP_TEST  *Test
  )
{
  Forget ();
  ZppApicStart (0, ICR_INIT | ICR_TO_OTHERS, ZppPuppetSipi (mPuppets) | ICR_TO_OTHERS, Gap (Test));
  ZppPuppetWait (mPuppets, (UINT32)mCount);
  return mPuppets->Page->Starts;
}

/**
  The checks that are the same with and without the trap.

  @param[in,out] Test  The test.
  @param[in]     Quiet  Whether zpp must not trap the first command.
**/
STATIC
VOID
CheckStarts (
  IN OUT ZPP_TEST  *Test,
  IN BOOLEAN       Quiet
  )
{
  ZppReport (Test, "APs start by one SIPI right after INIT", mCount, StartEach (Test, 1, Quiet));
  ZppReport (Test, "APs start by one SIPI right after two INITs", mCount, StartEach (Test, 2, Quiet));
  if (Quiet) {
    BecomeQuiet ();
  }

  ZppReport (Test, "APs start by INITs and SIPIs back to back", mCount, StartBackToBack ());
  if (Quiet) {
    BecomeQuiet ();
  }

  ZppReport (Test, "APs start by one broadcast INIT and SIPI", mCount, StartByBroadcast (Test));
}

/**
  Commands that must not disturb an AP that runs.

  @param[in,out] Test  The test.
**/
STATIC
VOID
CheckIgnored (
  IN OUT ZPP_TEST  *Test
  )
{
  ZPP_PUPPET  Other;

  Other = mPuppets[0];
  if (EFI_ERROR (ZppPuppetPrepare (&Other))) {
    ZppReport (Test, "memory below 1 MiB", 1, 0);
    return;
  }

  StartEach (Test, 1, FALSE);
  ZppApicSend (mPuppets->ApicId, ZppPuppetSipi (&Other));
  ZppReport (Test, "a SIPI without an INIT: the AP runs on", TRUE, ZppPuppetRuns (mPuppets));
  ZppReport (Test, "a SIPI without an INIT: starts", 0, Other.Page->Starts);
  ZppApicSend (mPuppets->ApicId, ICR_INIT_DEASSERT);
  ZppApicSend (0, ICR_INIT_DEASSERT | (2u << 18));
  ZppReport (Test, "INIT level de-assert: the AP runs on", TRUE, ZppPuppetRuns (mPuppets));
}

/**
  An AP that sends an INIT to itself.

  @param[in,out] Test  The test.
**/
STATIC
VOID
CheckInitSelf (
  IN OUT ZPP_TEST  *Test
  )
{
  UINTN  Try;

  StartEach (Test, 1, FALSE);
  ZppPuppetSendSelf (mPuppets, ICR_INIT);
  ZppReport (Test, "an INIT to itself stops an AP", TRUE, ZppPuppetStops (mPuppets));
  for (Try = 0; (Try < SIPIS_MAX) && (mPuppets->Page->Starts < 2); Try++) {
    ZppApicSend (mPuppets->ApicId, ZppPuppetSipi (mPuppets)); // ignored until it has stopped
    ZppPuppetStops (mPuppets);
  }

  ZppReport (Test, "it starts again", TRUE, ZppPuppetWait (mPuppets, 2) && ZppPuppetRuns (mPuppets));
}

/**
  Counts the exits by writes to the local APIC that start no CPU.

  @param[in] Test  The test.

  @return The exits of 100 writes.
**/
STATIC
UINT64
ExitsOfWrites (
  IN CONST ZPP_TEST  *Test
  )
{
  UINT64  Reason;
  UINT64  Before;
  UINTN   Index;

  Reason = ZppApicIsX2 () ? EXIT_REASON_WRMSR : EXIT_REASON_EPT_VIOLATION;
  Before = ZppCall (Test, ZPP_HYPERCALL_EXIT_COUNT, Test->Bsp, Reason).Rbx;
  for (Index = 0; Index < 100; Index++) {
    WriteNothing ();
  }

  return ZppCall (Test, ZPP_HYPERCALL_EXIT_COUNT, Test->Bsp, Reason).Rbx - Before;
}

/**
  Finds the APs and their pages.

  @param[in] Test  The test.

  @retval TRUE   They are ready.
  @retval FALSE  There is not enough memory.
**/
STATIC
BOOLEAN
PreparePuppets (
  IN CONST ZPP_TEST  *Test
  )
{
  UINTN                      Cpu;
  EFI_PROCESSOR_INFORMATION  Information;

  mCount   = 0;
  mPuppets = AllocateZeroPool (Test->CpuCount * sizeof (*mPuppets));
  for (Cpu = 0; (mPuppets != NULL) && (Cpu < Test->CpuCount); Cpu++) {
    if (Cpu == Test->Bsp) {
      continue;
    }

    if (EFI_ERROR (Test->Mp->GetProcessorInfo (Test->Mp, Cpu, &Information)) ||
        EFI_ERROR (ZppPuppetPrepare (&mPuppets[mCount])))
    {
      return FALSE;
    }

    mPuppets[mCount].Cpu    = Cpu;
    mPuppets[mCount].ApicId = (UINT32)Information.ProcessorId;
    mCount++;
  }

  return mCount + 1 == Test->CpuCount;
}

VOID
ZppCheckStartup (
  IN OUT ZPP_TEST  *Test
  )
{
  BOOLEAN  Interrupts;

  if (Test->CpuCount < 2) {
    return;
  }

  if (!PreparePuppets (Test)) {
    ZppReport (Test, "memory below 1 MiB", 1, 0);
    return;
  }

  Interrupts = SaveAndDisableInterrupts ();
  CheckStarts (Test, FALSE);
  CheckIgnored (Test);
  CheckInitSelf (Test);
  ZppCheckApicInit (Test, mPuppets);
  BecomeQuiet ();
  if (Test->Options.Expect == ExpectVtx) {
    ZppReport (Test, "exits by writes to the local APIC once no CPU starts", 0, ExitsOfWrites (Test));
  }

  CheckStarts (Test, TRUE);
  SetInterruptState (Interrupts);
}
