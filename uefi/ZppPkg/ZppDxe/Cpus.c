/** @file
  Runs a function on every CPU of the machine.
**/
#include "Cpus.h"

#include <Library/UefiBootServicesTableLib.h>

//
// An AP needs microseconds. After this time the boot continues without an AP that does not return.
//
#define AP_TIMEOUT_US  (10 * 1000 * 1000)

typedef struct {
  CONST ZPP_CPUS      *Cpus;
  ZPP_CPU_FUNCTION    Function;
  VOID                *Context;
} AP_CALL;

EFI_STATUS
ZppFindCpus (
  OUT ZPP_CPUS  *Cpus
  )
{
  EFI_STATUS  Status;
  UINTN       Enabled;

  Status = gBS->LocateProtocol (&gEfiMpServiceProtocolGuid, NULL, (VOID **)&Cpus->Services);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = Cpus->Services->GetNumberOfProcessors (Cpus->Services, &Cpus->Count, &Enabled);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  return Cpus->Services->WhoAmI (Cpus->Services, &Cpus->Bsp);
}

/**
  Runs on an AP: gets its number and calls the function.

  @param[in,out] Buffer  The AP_CALL.
**/
STATIC
VOID
EFIAPI
ApProcedure (
  IN OUT VOID  *Buffer
  )
{
  AP_CALL  *Call;
  UINTN    Cpu;

  Call = Buffer;
  if (!EFI_ERROR (Call->Cpus->Services->WhoAmI (Call->Cpus->Services, &Cpu))) {
    Call->Function (Call->Context, Cpu);
  }
}

/**
  Checks whether the firmware has disabled an AP.

  @param[in] Cpus  The machine's CPUs.
  @param[in] Cpu   The CPU's number.

  @retval TRUE   It is disabled.
  @retval FALSE  It is enabled.
**/
STATIC
BOOLEAN
IsDisabled (
  IN CONST ZPP_CPUS  *Cpus,
  IN UINTN           Cpu
  )
{
  EFI_PROCESSOR_INFORMATION  Information;

  if (EFI_ERROR (Cpus->Services->GetProcessorInfo (Cpus->Services, Cpu, &Information))) {
    return FALSE;
  }

  return (Information.StatusFlag & PROCESSOR_ENABLED_BIT) == 0;
}

/**
  Runs the call on the disabled APs, one by one.

  @param[in]     Cpus  The machine's CPUs.
  @param[in,out] Call  The call.

  @retval EFI_SUCCESS  It ran on all of them.
  @retval other        The MP services' error.
**/
STATIC
EFI_STATUS
RunOnDisabledAps (
  IN     CONST ZPP_CPUS  *Cpus,
  IN OUT AP_CALL         *Call
  )
{
  EFI_STATUS  Status;
  UINTN       Cpu;

  for (Cpu = 0; Cpu < Cpus->Count; Cpu++) {
    if ((Cpu == Cpus->Bsp) || !IsDisabled (Cpus, Cpu)) {
      continue;
    }

    Status = Cpus->Services->EnableDisableAP (Cpus->Services, Cpu, TRUE, NULL);
    if (EFI_ERROR (Status)) {
      return Status;
    }

    Status = Cpus->Services->StartupThisAP (Cpus->Services, ApProcedure, Cpu, NULL, AP_TIMEOUT_US, Call, NULL);
    Cpus->Services->EnableDisableAP (Cpus->Services, Cpu, FALSE, NULL);
    if (EFI_ERROR (Status)) {
      return Status;
    }
  }

  return EFI_SUCCESS;
}

EFI_STATUS
ZppRunOnEveryCpu (
  IN     CONST ZPP_CPUS    *Cpus,
  IN     ZPP_CPU_ORDER     Order,
  IN     ZPP_CPU_FUNCTION  Function,
  IN OUT VOID              *Context
  )
{
  EFI_STATUS  Status;
  AP_CALL     Call;

  Call.Cpus     = Cpus;
  Call.Function = Function;
  Call.Context  = Context;

  if (Order == ZppBspFirst) {
    Function (Context, Cpus->Bsp);
  }

  if (Cpus->Count > 1) {
    Status = Cpus->Services->StartupAllAPs (
                               Cpus->Services,
                               ApProcedure,
                               FALSE,
                               NULL,
                               AP_TIMEOUT_US,
                               &Call,
                               NULL
                               );
    // EFI_NOT_STARTED: no AP is enabled.
    if (EFI_ERROR (Status) && (Status != EFI_NOT_STARTED)) {
      return Status;
    }

    Status = RunOnDisabledAps (Cpus, &Call);
    if (EFI_ERROR (Status)) {
      return Status;
    }
  }

  if (Order == ZppBspLast) {
    Function (Context, Cpus->Bsp);
  }

  return EFI_SUCCESS;
}

EFI_STATUS
ZppFindApicIds (
  IN  CONST ZPP_CPUS  *Cpus,
  OUT UINT32          *ApicIds
  )
{
  EFI_STATUS                 Status;
  EFI_PROCESSOR_INFORMATION  Information;
  UINTN                      Cpu;

  for (Cpu = 0; Cpu < Cpus->Count; Cpu++) {
    Status = Cpus->Services->GetProcessorInfo (Cpus->Services, Cpu, &Information);
    if (EFI_ERROR (Status)) {
      return Status;
    }

    ApicIds[Cpu] = (UINT32)Information.ProcessorId;
  }

  return EFI_SUCCESS;
}
