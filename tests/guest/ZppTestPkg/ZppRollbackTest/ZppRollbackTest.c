/** @file
  Repeatedly launches zpp on all CPUs but one, as if the launch had failed there, and rolls back.

  Checks what a loader relies on: the launched CPUs are virtualized, COMMIT is refused, and after the
  rollback every CPU has its former state and the memory is usable. Finally launches zpp on every CPU
  and commits, after which zpp refuses to devirtualize. Must be started without zpp ("hypervisor =
  off"); prints "ZPP-TEST: PASS" or "ZPP-TEST: FAIL n", and turns the machine off.
**/
#include "Core.h"
#include "CpuState.h"
#include "NmiCall.h"
#include "Verdict.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

#include <loader/cpu.h>

#define ROUNDS    5u
#define NO_CPU    MAX_UINTN
#define NOT_RUN   ZPP_STATUS_COUNT
#define PATTERN   0xa5

STATIC CONST ZPP_SETTINGS  mSettings = { .SerialPort = 0x3f8 };

/// One CPU.
typedef struct {
  ZPP_CPU_STATE      Before;
  ZPP_CPU_STATE      After;
  enum zpp_status    Launched;
  enum zpp_status    Devirtualized;
  BOOLEAN            Virtualized;
} CPU_RESULT;

typedef struct {
  ZPP_CPUS             Cpus;
  ZPP_MEMORY           Memory;
  struct zpp_loader    Loader;
  UINTN                Excluded; ///< The CPU that is not launched, or NO_CPU.
  CPU_RESULT           *Results;
  UINT32               *ApicIds;
  UINTN                NmiCpu;   ///< The AP that is devirtualized with an NMI pending, or NO_CPU.
  UINT32               Nmis;     ///< Those that arrived there.
  UINTN                Failures;
} ROLLBACK_TEST;

/**
  Counts and prints a failure if two values differ.

  @param[in,out] Test      The test.
  @param[in]     Cpu       The CPU that has the value.
  @param[in]     What      The values' name.
  @param[in]     Expected  The expected value.
  @param[in]     Got       The actual value.
**/
STATIC
VOID
Expect (
  IN OUT ROLLBACK_TEST  *Test,
  IN     UINTN          Cpu,
  IN     CONST CHAR8    *What,
  IN     UINT64         Expected,
  IN     UINT64         Got
  )
{
  if (Expected != Got) {
    Test->Failures++;
    Print (L"FAIL: %a (CPU %d): expected 0x%lx got 0x%lx\n", What, Cpu, Expected, Got);
  }
}

/**
  Records this CPU's state and launches zpp on it, unless it is the excluded one.

  @param[in,out] Context  The ROLLBACK_TEST.
  @param[in]     Cpu      This CPU's number.
**/
STATIC
VOID
LaunchCpu (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  )
{
  ROLLBACK_TEST  *Test;
  CPU_RESULT     *Result;

  Test   = Context;
  Result = &Test->Results[Cpu];
  ZppReadCpuState (&Result->Before);
  if (Cpu != Test->Excluded) {
    Result->Launched = zpp_loader_launch (&Test->Loader, (UINT32)Cpu);
  }

  Result->Virtualized = (BOOLEAN)zpp_cpu_is_held ();
}

/**
  Devirtualizes the CPU with the pending NMI.

  @param[in,out] Context  The ROLLBACK_TEST.
**/
STATIC
VOID
DevirtualizeInNmi (
  IN OUT VOID  *Context
  )
{
  ROLLBACK_TEST  *Test;

  Test                                      = Context;
  Test->Results[Test->NmiCpu].Devirtualized = zpp_loader_devirtualize (&Test->Loader, (UINT32)Test->NmiCpu);
}

/**
  Devirtualizes this CPU and records its state.

  @param[in,out] Context  The ROLLBACK_TEST.
  @param[in]     Cpu      This CPU's number.
**/
STATIC
VOID
DevirtualizeCpu (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  )
{
  ROLLBACK_TEST  *Test;
  CPU_RESULT     *Result;

  Test   = Context;
  Result = &Test->Results[Cpu];
  if (Cpu == Test->NmiCpu) {
    Test->Nmis = ZppCallInNmi (DevirtualizeInNmi, Test);
  } else {
    Result->Devirtualized = zpp_loader_devirtualize (&Test->Loader, (UINT32)Cpu);
  }

  Result->Virtualized   = (BOOLEAN)zpp_cpu_is_held ();
  ZppReadCpuState (&Result->After);
}

/**
  Prepares zpp, and launches it on all CPUs but one.

  @param[in,out] Test     The test.
  @param[in]     Excluded  The CPU that is not launched, or NO_CPU.

  @retval TRUE   zpp was prepared and launched.
  @retval FALSE  It was not prepared, which is counted as a failure.
**/
STATIC
BOOLEAN
Launch (
  IN OUT ROLLBACK_TEST  *Test,
  IN     UINTN          Excluded
  )
{
  UINTN            Cpu;
  enum zpp_status  Status;

  Status = ZppPrepareCore (&Test->Loader, &Test->Memory, &Test->Cpus, Test->ApicIds, &mSettings);
  if (Status != ZPP_OK) {
    Print (L"zpp: no hypervisor: %a (%a)\n", zpp_status_text (Status), zpp_loader_detail (&Test->Loader, 0));
    Expect (Test, Test->Cpus.Bsp, "prepare", ZPP_OK, Status);
    ZppFreeMemory (&Test->Memory);
    return FALSE;
  }

  Test->Excluded = Excluded;
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Test->Results[Cpu].Launched      = NOT_RUN;
    Test->Results[Cpu].Devirtualized = NOT_RUN;
  }

  Expect (Test, Test->Cpus.Bsp, "MP services", EFI_SUCCESS, ZppRunOnEveryCpu (&Test->Cpus, ZppBspFirst, LaunchCpu, Test));
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Expect (Test, Cpu, "launch", Cpu == Excluded ? NOT_RUN : ZPP_OK, Test->Results[Cpu].Launched);
    Expect (Test, Cpu, "virtualized after launch", Cpu != Excluded, Test->Results[Cpu].Virtualized);
  }

  return TRUE;
}

/**
  Rolls back, and checks that every CPU has its former state and the memory is usable.

  @param[in,out] Test  The test.
**/
STATIC
VOID
RollBack (
  IN OUT ROLLBACK_TEST  *Test
  )
{
  UINTN   Cpu;
  UINTN   Item;
  UINT32  Range;
  VOID    *Start;
  UINTN   Size;

  Expect (Test, Test->Cpus.Bsp, "MP services", EFI_SUCCESS, ZppRunOnEveryCpu (&Test->Cpus, ZppBspLast, DevirtualizeCpu, Test));
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Expect (Test, Cpu, "devirtualize", ZPP_OK, Test->Results[Cpu].Devirtualized);
    Expect (Test, Cpu, "virtualized after rollback", FALSE, Test->Results[Cpu].Virtualized);
    for (Item = 0; Item < StateMax; Item++) {
      // No instruction loads a null TR, so a null TR cannot be restored.
      if ((Item == StateTr) && (Test->Results[Cpu].Before.Item[StateTr] == 0)) {
        continue;
      }

      Expect (Test, Cpu, gZppCpuStateNames[Item], Test->Results[Cpu].Before.Item[Item], Test->Results[Cpu].After.Item[Item]);
    }
  }

  for (Range = 0; Range < Test->Memory.Count; Range++) {
    Start = (VOID *)(UINTN)Test->Memory.Ranges[Range].physical;
    Size  = EFI_PAGES_TO_SIZE ((UINTN)Test->Memory.Ranges[Range].pages);
    SetMem (Start, Size, PATTERN);
    Expect (Test, Test->Cpus.Bsp, "memory is usable", PATTERN, *(UINT8 *)Start);
    Expect (Test, Test->Cpus.Bsp, "memory is usable", PATTERN, *((UINT8 *)Start + Size - 1));
  }

  ZppFreeMemory (&Test->Memory);
}

/**
  Tells the firmware to disable or enable the last CPU. Does nothing if that is the BSP.

  @param[in,out] Test    The test.
  @param[in]     Enable  TRUE to enable it.
**/
STATIC
VOID
EnableLastCpu (
  IN OUT ROLLBACK_TEST  *Test,
  IN     BOOLEAN        Enable
  )
{
  UINTN                      Last;
  EFI_PROCESSOR_INFORMATION  Information;

  Last = Test->Cpus.Count - 1;
  if (Last == Test->Cpus.Bsp) {
    return;
  }

  if (Enable) {
    Test->Cpus.Services->GetProcessorInfo (Test->Cpus.Services, Last, &Information);
    Expect (Test, Last, "still disabled", 0, Information.StatusFlag & PROCESSOR_ENABLED_BIT);
  }

  Expect (
    Test,
    Last,
    "EnableDisableAP",
    EFI_SUCCESS,
    Test->Cpus.Services->EnableDisableAP (Test->Cpus.Services, Last, Enable, NULL)
    );
}

/**
  Finds an AP on which zpp is launched.

  @param[in] Test  The test.

  @return Its number, or NO_CPU.
**/
STATIC
UINTN
FindLaunchedAp (
  IN CONST ROLLBACK_TEST  *Test
  )
{
  UINTN  Cpu;

  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    if ((Cpu != Test->Excluded) && (Cpu != Test->Cpus.Bsp) && (Test->Results[Cpu].Launched == ZPP_OK)) {
      return Cpu;
    }
  }

  return NO_CPU;
}

/**
  Launches and rolls back once.

  @param[in,out] Test     The test.
  @param[in]     Excluded  The CPU that is not launched, or NO_CPU.

  @retval TRUE   zpp was launched.
  @retval FALSE  It was not, which is counted as a failure.
**/
STATIC
BOOLEAN
LaunchAndRollBack (
  IN OUT ROLLBACK_TEST  *Test,
  IN     UINTN          Excluded
  )
{
  if (!Launch (Test, Excluded)) {
    return FALSE;
  }

  if ((Excluded != NO_CPU) && (Excluded != Test->Cpus.Bsp)) {
    Expect (Test, Test->Cpus.Bsp, "commit without a CPU", ZPP_BAD_CALL, zpp_loader_commit ());
  }

  Test->NmiCpu = FindLaunchedAp (Test);
  RollBack (Test);
  if (Test->NmiCpu != NO_CPU) {
    Expect (Test, Test->NmiCpu, "NMIs around the rollback", 2, Test->Nmis);
    Test->NmiCpu = NO_CPU;
  }

  return TRUE;
}

/**
  Launches and rolls back, each time with another CPU excluded, and once with a CPU that the firmware
  has disabled.

  @param[in,out] Test  The test.
**/
STATIC
VOID
RunRounds (
  IN OUT ROLLBACK_TEST  *Test
  )
{
  UINTN  Round;
  UINTN  Excluded;

  for (Round = 0; Round < ROUNDS; Round++) {
    // The first round excludes no CPU, as for a failure after the last launch.
    Excluded = Round == 0 ? NO_CPU : (Test->Cpus.Count - Round % Test->Cpus.Count) % Test->Cpus.Count;
    // zpp takes INIT and SIPI where they are sent, so a BSP without zpp cannot start an AP with zpp.
    // That is why loaders launch zpp on the BSP first, and take it away from the BSP last.
    if ((Excluded == Test->Cpus.Bsp) && (Test->Cpus.Count > 1)) {
      continue;
    }

    if (!LaunchAndRollBack (Test, Excluded)) {
      return;
    }

    if (Test->Failures == 0) {
      Print (L"ok: rollback %d\n", Round);
    }
  }

  EnableLastCpu (Test, FALSE);
  LaunchAndRollBack (Test, NO_CPU);
  EnableLastCpu (Test, TRUE);
  if (Test->Failures == 0) {
    Print (L"ok: rollback with a disabled CPU\n");
  }
}

/**
  Launches and commits.

  @param[in,out] Test  The test.
**/
STATIC
VOID
LaunchAndCommit (
  IN OUT ROLLBACK_TEST  *Test
  )
{
  UINTN  Cpu;

  if (!Launch (Test, NO_CPU)) {
    return;
  }

  Expect (Test, Test->Cpus.Bsp, "commit", ZPP_OK, zpp_loader_commit ());
  ZppRunOnEveryCpu (&Test->Cpus, ZppBspLast, DevirtualizeCpu, Test);
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Expect (Test, Cpu, "devirtualize after commit", ZPP_BAD_CALL, Test->Results[Cpu].Devirtualized);
    Expect (Test, Cpu, "virtualized after commit", TRUE, Test->Results[Cpu].Virtualized);
  }
}

/**
  The program's entry point.

  @param[in] ImageHandle  This program's image.
  @param[in] SystemTable  The system table.

  @retval EFI_ABORTED  The machine did not turn off.
**/
EFI_STATUS
EFIAPI
ZppRollbackTestEntryPoint (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  ROLLBACK_TEST  Test;

  ZeroMem (&Test, sizeof (Test));
  Test.NmiCpu = NO_CPU;
  Expect (&Test, 0, "finding the CPUs", EFI_SUCCESS, ZppFindCpus (&Test.Cpus));
  Test.Results = AllocateZeroPool (Test.Cpus.Count * sizeof (*Test.Results));
  Test.ApicIds = AllocateZeroPool (Test.Cpus.Count * sizeof (*Test.ApicIds));
  Expect (&Test, 0, "finding the APIC IDs", EFI_SUCCESS, ZppFindApicIds (&Test.Cpus, Test.ApicIds));
  Expect (&Test, 0, "zpp is already running", FALSE, (BOOLEAN)zpp_cpu_is_held ());
  if ((Test.Failures == 0) && (Test.Results != NULL) && (Test.ApicIds != NULL)) {
    RunRounds (&Test);
  }

  if (Test.Failures == 0) {
    LaunchAndCommit (&Test);
  }

  ZppPrintVerdict (Test.Failures);
  ZppPowerOff ();
  return EFI_ABORTED;
}
