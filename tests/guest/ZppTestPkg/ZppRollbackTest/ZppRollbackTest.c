/** @file
  Launches zpp on all CPUs but one, as if it had failed there, and rolls it back; again and again.

  Checks what a loader relies on: the CPUs that were launched are held, COMMIT is refused, and
  after the roll-back every CPU is as it was and the memory can be used again. At last zpp is
  launched on every CPU and committed, and does not go any more. Started without zpp ("hypervisor
  = off"); prints "ZPP-TEST: PASS" or "ZPP-TEST: FAIL n", and turns the machine off.
**/
#include "CpuTrace.h"
#include "Cpus.h"
#include "Memory.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

#include <loader/cpu.h>
#include <loader/loader.h>

#define ROUNDS    5u
#define NO_CPU    MAX_UINTN
#define NOT_RUN   ZPP_STATUS_COUNT
#define PATTERN   0xa5
#define SERIAL    0x3f8

extern CONST UINT8  gHypervisorElf[];
extern CONST UINT8  gHypervisorElfEnd[];

/// One CPU.
typedef struct {
  ZPP_CPU_TRACE      Before;
  ZPP_CPU_TRACE      After;
  enum zpp_status    Launched;
  enum zpp_status    Devirtualized;
  BOOLEAN            Held;
} CPU_RESULT;

typedef struct {
  ZPP_CPUS             Cpus;
  ZPP_MEMORY           Memory;
  struct zpp_loader    Loader;
  UINTN                LeftOut; ///< The CPU that is not launched, or NO_CPU.
  CPU_RESULT           *Results;
  UINT32               *ApicIds;
  UINTN                Failures;
} ROLLBACK_TEST;

/**
  Notes and prints a failure unless two values are equal.

  @param[in,out] Test      The test.
  @param[in]     Cpu       The CPU it is about.
  @param[in]     What      What the values are.
  @param[in]     Expected  The value that is right.
  @param[in]     Got       The value that is there.
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
  UEFI maps memory one to one.

  @param[in] Context   Not used.
  @param[in] Physical  A physical address.

  @return The same address.
**/
STATIC
VOID *
VirtualOf (
  IN VOID      *Context,
  IN uint64_t  Physical
  )
{
  return (VOID *)(UINTN)Physical;
}

/**
  UEFI maps memory one to one.

  @param[in] Context  Not used.
  @param[in] Virtual  A virtual address.

  @return The same address.
**/
STATIC
uint64_t
PhysicalOf (
  IN VOID        *Context,
  IN CONST VOID  *Virtual
  )
{
  return (UINTN)Virtual;
}

/**
  Takes this CPU's trace and launches zpp on it, unless it is the one left out.

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
  ZppTakeTrace (&Result->Before);
  if (Cpu != Test->LeftOut) {
    Result->Launched = zpp_loader_launch (&Test->Loader, (UINT32)Cpu);
  }

  Result->Held = (BOOLEAN)zpp_cpu_is_held ();
}

/**
  Rolls zpp back on this CPU and takes its trace.

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

  Test                  = Context;
  Result                = &Test->Results[Cpu];
  Result->Devirtualized = zpp_loader_devirtualize (&Test->Loader, (UINT32)Cpu);
  Result->Held          = (BOOLEAN)zpp_cpu_is_held ();
  ZppTakeTrace (&Result->After);
}

/**
  Allocates the memory, prepares zpp, and launches it on all CPUs but one.

  @param[in,out] Test     The test.
  @param[in]     LeftOut  The CPU that is not launched, or NO_CPU.

  @retval TRUE   That was possible.
  @retval FALSE  It was not; a failure is noted.
**/
STATIC
BOOLEAN
Launch (
  IN OUT ROLLBACK_TEST  *Test,
  IN     UINTN          LeftOut
  )
{
  struct zpp_loader_request  Request;
  UINT64                     Pages;
  UINTN                      Cpu;
  enum zpp_status            Status;

  Pages = zpp_loader_pages (gHypervisorElf, gHypervisorElfEnd - gHypervisorElf, (UINT32)Test->Cpus.Count);
  if ((Pages == 0) || EFI_ERROR (ZppAllocateMemory ((UINTN)Pages, &Test->Memory))) {
    Expect (Test, Test->Cpus.Bsp, "memory", TRUE, FALSE);
    return FALSE;
  }

  Request = (struct zpp_loader_request) {
    .os          = { .virtual_of = VirtualOf, .physical_of = PhysicalOf },
    .elf         = gHypervisorElf,
    .elf_size    = gHypervisorElfEnd - gHypervisorElf,
    .ranges      = Test->Memory.Ranges,
    .range_count = Test->Memory.Count,
    .cpu_count   = (UINT32)Test->Cpus.Count,
    .apic_ids    = Test->ApicIds,
    .serial_port = SERIAL,
  };
  Status = zpp_loader_prepare (&Test->Loader, &Request);
  if (Status != ZPP_OK) {
    Print (L"zpp: no hypervisor: %a (%a)\n", zpp_status_text (Status), zpp_loader_detail (&Test->Loader, 0));
    Expect (Test, Test->Cpus.Bsp, "prepare", ZPP_OK, Status);
    ZppFreeMemory (&Test->Memory);
    return FALSE;
  }

  Test->LeftOut = LeftOut;
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Test->Results[Cpu].Launched      = NOT_RUN;
    Test->Results[Cpu].Devirtualized = NOT_RUN;
  }

  Expect (Test, Test->Cpus.Bsp, "MP services", EFI_SUCCESS, ZppRunOnEveryCpu (&Test->Cpus, ZppBspFirst, LaunchCpu, Test));
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Expect (Test, Cpu, "launch", Cpu == LeftOut ? NOT_RUN : ZPP_OK, Test->Results[Cpu].Launched);
    Expect (Test, Cpu, "held after launch", Cpu != LeftOut, Test->Results[Cpu].Held);
  }

  return TRUE;
}

/**
  Rolls zpp back, and checks that every CPU is as it was and the memory is usable.

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
    Expect (Test, Cpu, "held after roll-back", FALSE, Test->Results[Cpu].Held);
    for (Item = 0; Item < TraceMax; Item++) {
      // No instruction loads a null TR, so one that was null keeps the hypervisor's selector.
      if ((Item == TraceTr) && (Test->Results[Cpu].Before.Item[TraceTr] == 0)) {
        continue;
      }

      Expect (Test, Cpu, gZppTraceNames[Item], Test->Results[Cpu].Before.Item[Item], Test->Results[Cpu].After.Item[Item]);
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
  Has the firmware disable or enable the last CPU, which is not the BSP; if there is only the BSP,
  does nothing.

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
  Launches and rolls back once.

  @param[in,out] Test     The test.
  @param[in]     LeftOut  The CPU that is not launched, or NO_CPU.

  @retval TRUE   The launch was possible.
  @retval FALSE  It was not; a failure is noted.
**/
STATIC
BOOLEAN
LaunchAndRollBack (
  IN OUT ROLLBACK_TEST  *Test,
  IN     UINTN          LeftOut
  )
{
  if (!Launch (Test, LeftOut)) {
    return FALSE;
  }

  if ((LeftOut != NO_CPU) && (LeftOut != Test->Cpus.Bsp)) {
    Expect (Test, Test->Cpus.Bsp, "commit without a CPU", ZPP_BAD_CALL, zpp_loader_commit ());
  }

  RollBack (Test);
  return TRUE;
}

/**
  Tells whether the CPU has AMD-V.

  @retval TRUE   It has.
  @retval FALSE  It has not.
**/
STATIC
BOOLEAN
HasSvm (
  VOID
  )
{
  UINT32  Ecx;

  AsmCpuid (0x80000001, NULL, NULL, &Ecx, NULL);
  return (Ecx & BIT2) != 0;
}

/**
  Launches and rolls back, with another CPU left out each time, and once with one that the
  firmware has disabled.

  @param[in,out] Test  The test.
**/
STATIC
VOID
RunRounds (
  IN OUT ROLLBACK_TEST  *Test
  )
{
  UINTN  Round;
  UINTN  LeftOut;

  for (Round = 0; Round < ROUNDS; Round++) {
    // The first round leaves nobody out: a failure after the last launch.
    LeftOut = Round == 0 ? NO_CPU : (Test->Cpus.Count - Round % Test->Cpus.Count) % Test->Cpus.Count;
    // AMD-V: an INIT from a BSP that is not held would take a held AP from the core.
    if ((LeftOut == Test->Cpus.Bsp) && HasSvm ()) {
      continue;
    }

    if (!LaunchAndRollBack (Test, LeftOut)) {
      return;
    }

    if (Test->Failures == 0) {
      Print (L"ok: roll-back %d\n", Round);
    }
  }

  EnableLastCpu (Test, FALSE);
  LaunchAndRollBack (Test, NO_CPU);
  EnableLastCpu (Test, TRUE);
  if (Test->Failures == 0) {
    Print (L"ok: roll-back with a disabled CPU\n");
  }
}

/**
  Launches for good.

  @param[in,out] Test  The test.
**/
STATIC
VOID
LaunchForGood (
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
    Expect (Test, Cpu, "held after commit", TRUE, Test->Results[Cpu].Held);
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
  Expect (&Test, 0, "finding the CPUs", EFI_SUCCESS, ZppFindCpus (&Test.Cpus));
  Test.Results = AllocateZeroPool (Test.Cpus.Count * sizeof (*Test.Results));
  Test.ApicIds = AllocateZeroPool (Test.Cpus.Count * sizeof (*Test.ApicIds));
  Expect (&Test, 0, "finding the APIC IDs", EFI_SUCCESS, ZppFindApicIds (&Test.Cpus, Test.ApicIds));
  Expect (&Test, 0, "zpp is there already", FALSE, (BOOLEAN)zpp_cpu_is_held ());
  if ((Test.Failures == 0) && (Test.Results != NULL) && (Test.ApicIds != NULL)) {
    RunRounds (&Test);
  }

  if (Test.Failures == 0) {
    LaunchForGood (&Test);
  }

  if (Test.Failures == 0) {
    Print (L"ZPP-TEST: PASS\n");
  } else {
    Print (L"ZPP-TEST: FAIL %d\n", Test.Failures);
  }

  // Long enough for a serial port to send the last line.
  gBS->Stall (200 * 1000);
  gRT->ResetSystem (EfiResetShutdown, EFI_SUCCESS, 0, NULL);
  return EFI_ABORTED;
}
