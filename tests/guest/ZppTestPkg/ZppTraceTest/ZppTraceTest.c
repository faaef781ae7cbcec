/** @file
  Causes known VM exits on every CPU, then prints the core's exit statistics: "count CPU REASON
  COUNT" for each one that is not 0. A test compares them with the trace.
**/
#include <PiDxe.h>

#include "../Common/Verdict.h"

#include <Library/BaseLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/MpService.h>

#include <loader/cpu.h>
#include <zpp/hypercall.h>

#define ROUNDS         5u
#define REASONS        192u
#define AP_TIMEOUT_US  10000000u

/// The firmware has no reason to ask for this leaf.
#define CPUID_LEAF  0x16u

/// Reads of these exit, on VT-x and AMD-V.
#define MSR_FEATURE_CONTROL  0x3Au
#define MSR_VM_CR            0xC0010114u

/**
  Executes CPUID and RDMSR.

  @param[in] Buffer  Not used.
**/
STATIC
VOID
EFIAPI
CauseExits (
  IN VOID  *Buffer
  )
{
  UINT32  Round;

  for (Round = 0; Round < ROUNDS; Round++) {
    AsmCpuid (CPUID_LEAF, NULL, NULL, NULL, NULL);
    AsmReadMsr64 (zpp_cpu_is_amd () ? MSR_VM_CR : MSR_FEATURE_CONTROL);
  }
}

/**
  Prints the exit statistics of a CPU.

  @param[in] Cpu  The CPU's index.

  @return The number of hypercalls that failed.
**/
STATIC
UINTN
PrintCounts (
  IN UINTN  Cpu
  )
{
  struct zpp_hypercall_registers  Registers;
  UINTN                           Reason;
  UINTN                           Failures;

  Failures = 0;
  for (Reason = 0; Reason < REASONS; Reason++) {
    Registers = (struct zpp_hypercall_registers) { .rbx = Cpu, .rcx = Reason };
    if (zpp_cpu_hypercall (ZPP_HYPERCALL_EXIT_COUNT, &Registers) != ZPP_HYPERCALL_OK) {
      Failures++;
    } else if (Registers.rbx != 0) {
      Print (L"count %ld %ld %ld\n", Cpu, Reason, Registers.rbx);
    }
  }

  return Failures;
}

/**
  The program's entry point.

  @param[in] ImageHandle  This program's image.
  @param[in] SystemTable  The system table.

  @retval EFI_ABORTED  The machine could not be turned off.
**/
EFI_STATUS
EFIAPI
ZppTraceTestEntryPoint (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  EFI_MP_SERVICES_PROTOCOL  *Mp;
  EFI_STATUS                Status;
  UINTN                     Count;
  UINTN                     Enabled;
  UINTN                     Cpu;
  UINTN                     Failures;

  Count    = 0;
  Failures = 0;
  Status   = gBS->LocateProtocol (&gEfiMpServiceProtocolGuid, NULL, (VOID **)&Mp);
  if (!EFI_ERROR (Status)) {
    Status = Mp->GetNumberOfProcessors (Mp, &Count, &Enabled);
  }

  if (!EFI_ERROR (Status) && (Count > 1)) {
    Status = Mp->StartupAllAPs (Mp, CauseExits, FALSE, NULL, AP_TIMEOUT_US, NULL, NULL);
  }

  if (EFI_ERROR (Status)) {
    Print (L"FAIL: the CPUs do not start: %r\n", Status);
    Failures++;
  }

  CauseExits (NULL);
  for (Cpu = 0; Cpu < Count; Cpu++) {
    Failures += PrintCounts (Cpu);
  }

  ZppPrintVerdict (Failures);
  ZppPowerOff ();
  return EFI_ABORTED;
}
