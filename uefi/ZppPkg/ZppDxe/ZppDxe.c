/** @file
  The hypervisor's UEFI loader: launches the hypervisor on every CPU of the machine.
**/
#include "Core.h"
#include "Failure.h"
#include "LogRecord.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Protocol/LoadedImage.h>

#include <loader/cpu.h>

typedef struct {
  ZPP_CPUS             Cpus;
  ZPP_MEMORY           Memory;
  struct zpp_loader    Loader;
  enum zpp_status      *CpuStatus; ///< The result of each CPU's launch.
  UINTN                FailedCpu;  ///< The first CPU that was not launched.
  UINT32               *ApicIds;   ///< The APIC ID of each CPU.
  CHAR8                Detail[sizeof (((struct zpp_cpu_call *)0)->detail)];
} ZPP_LAUNCH;

/**
  Launches the hypervisor on the current CPU.

  @param[in,out] Context  The ZPP_LAUNCH.
  @param[in]     Cpu      This CPU's number.
**/
STATIC
VOID
LaunchCpu (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  )
{
  ZPP_LAUNCH  *Launch;

  Launch = Context;
  // The BSP is launched first. If that fails, no AP may be launched.
  if ((Cpu != Launch->Cpus.Bsp) && (Launch->CpuStatus[Launch->Cpus.Bsp] != ZPP_OK)) {
    return;
  }

  Launch->CpuStatus[Cpu] = zpp_loader_launch (&Launch->Loader, (UINT32)Cpu);
}

/**
  Devirtualizes the current CPU if it was launched.

  @param[in,out] Context  The ZPP_LAUNCH.
  @param[in]     Cpu      This CPU's number.
**/
STATIC
VOID
DevirtualizeCpu (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  )
{
  ZPP_LAUNCH  *Launch;

  Launch = Context;
  zpp_loader_devirtualize (&Launch->Loader, (UINT32)Cpu);
}

/**
  Finds the first CPU that was not launched.

  @param[in,out] Launch  The launch, after it ran on every CPU; gets that CPU's number.

  @retval ZPP_OK  Every CPU is launched.
  @retval other   The status of that CPU.
**/
STATIC
enum zpp_status
FirstFailure (
  IN OUT ZPP_LAUNCH  *Launch
  )
{
  UINTN  Cpu;

  if (Launch->CpuStatus[Launch->Cpus.Bsp] != ZPP_OK) {
    Launch->FailedCpu = Launch->Cpus.Bsp;
    return Launch->CpuStatus[Launch->Cpus.Bsp];
  }

  for (Cpu = 0; Cpu < Launch->Cpus.Count; Cpu++) {
    if (Launch->CpuStatus[Cpu] != ZPP_OK) {
      Launch->FailedCpu = Cpu;
      return Launch->CpuStatus[Cpu];
    }
  }

  return ZPP_OK;
}

/**
  Saves the detail of a failure, which is in the memory that is about to be freed.

  @param[in,out] Launch  The launch; no CPU is virtualized.
**/
STATIC
VOID
SaveDetail (
  IN OUT ZPP_LAUNCH  *Launch
  )
{
  CONST CHAR8  *Detail;

  Detail = zpp_loader_detail (&Launch->Loader, (UINT32)Launch->FailedCpu);
  AsciiStrnCpyS (Launch->Detail, sizeof (Launch->Detail), Detail, sizeof (Launch->Detail) - 1);
}

/**
  Launches the hypervisor on every CPU and commits, or rolls back on every CPU.

  @param[in,out] Launch     The launch, prepared.
  @param[out]    EfiStatus  The result of the MP services.

  @retval ZPP_OK  Every CPU is virtualized if EfiStatus is EFI_SUCCESS, none otherwise.
  @retval other   The error; no CPU is virtualized.
**/
STATIC
enum zpp_status
LaunchAll (
  IN OUT ZPP_LAUNCH  *Launch,
  OUT    EFI_STATUS  *EfiStatus
  )
{
  enum zpp_status  Status;
  EFI_STATUS       RollbackStatus;

  *EfiStatus = ZppRunOnEveryCpu (&Launch->Cpus, ZppBspFirst, LaunchCpu, Launch);
  Status     = EFI_ERROR (*EfiStatus) ? ZPP_OK : FirstFailure (Launch);
  if (!EFI_ERROR (*EfiStatus) && (Status == ZPP_OK)) {
    Status = zpp_loader_commit ();
    if (Status == ZPP_OK) {
      return ZPP_OK;
    }
  }

  RollbackStatus = ZppRunOnEveryCpu (&Launch->Cpus, ZppBspLast, DevirtualizeCpu, Launch);
  if (EFI_ERROR (*EfiStatus) || EFI_ERROR (RollbackStatus)) {
    // A CPU did not answer and may still run the hypervisor: do not free the memory.
    Launch->Memory.Count = 0;
  } else {
    SaveDetail (Launch);
  }

  return Status;
}

/**
  Finds the machine's CPUs, and allocates the per-CPU arrays.

  @param[in,out] Launch  Zero-filled; gets the CPUs.
  @param[out]    Reason  The reason of a failure.

  @retval EFI_SUCCESS  The CPUs are known.
  @retval other        The error.
**/
STATIC
EFI_STATUS
FindCpus (
  IN OUT ZPP_LAUNCH   *Launch,
  OUT    CONST CHAR8  **Reason
  )
{
  EFI_STATUS  Status;
  UINTN       Cpu;

  *Reason = "the firmware has no MP services";
  Status  = ZppFindCpus (&Launch->Cpus);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  *Reason           = zpp_status_text (ZPP_NO_MEMORY);
  Launch->CpuStatus = AllocatePool (Launch->Cpus.Count * sizeof (*Launch->CpuStatus));
  Launch->ApicIds   = AllocatePool (Launch->Cpus.Count * sizeof (*Launch->ApicIds));
  if ((Launch->CpuStatus == NULL) || (Launch->ApicIds == NULL)) {
    return EFI_OUT_OF_RESOURCES;
  }

  // The status of a CPU that the firmware never starts.
  for (Cpu = 0; Cpu < Launch->Cpus.Count; Cpu++) {
    Launch->CpuStatus[Cpu] = ZPP_BAD_CALL;
  }

  *Reason = "the firmware does not report the APIC ID of every CPU";
  return ZppFindApicIds (&Launch->Cpus, Launch->ApicIds);
}

/**
  Frees the per-CPU arrays.

  @param[in,out] Launch  The launch.
**/
STATIC
VOID
FreeCpus (
  IN OUT ZPP_LAUNCH  *Launch
  )
{
  if (Launch->CpuStatus != NULL) {
    FreePool (Launch->CpuStatus);
  }

  if (Launch->ApicIds != NULL) {
    FreePool (Launch->ApicIds);
  }
}

/**
  Starts the hypervisor.

  @param[in]     ImageHandle  The driver's image.
  @param[in]     Settings     The user's settings.
  @param[in,out] Launch       Zero-filled.

  @retval EFI_SUCCESS  Every CPU is virtualized.
  @retval other        No CPU is; the exit data gives the reason.
**/
STATIC
EFI_STATUS
Run (
  IN     EFI_HANDLE          ImageHandle,
  IN     CONST ZPP_SETTINGS  *Settings,
  IN OUT ZPP_LAUNCH          *Launch
  )
{
  EFI_STATUS       EfiStatus;
  enum zpp_status  Status;
  CONST CHAR8      *Reason;

  EfiStatus = FindCpus (Launch, &Reason);
  if (EFI_ERROR (EfiStatus)) {
    FreeCpus (Launch);
    return ZppExitWithReason (ImageHandle, EfiStatus, Reason, "");
  }

  Status = ZppPrepareCore (&Launch->Loader, &Launch->Memory, &Launch->Cpus, Launch->ApicIds, Settings);
  if (Status == ZPP_OK) {
    ZppStoreLogAddress (&Launch->Loader);
    Status = LaunchAll (Launch, &EfiStatus);
  } else {
    SaveDetail (Launch);
  }

  FreeCpus (Launch);
  if ((Status == ZPP_OK) && !EFI_ERROR (EfiStatus)) {
    return EFI_SUCCESS;
  }

  ZppFreeMemory (&Launch->Memory);
  if (Status == ZPP_OK) {
    return ZppExitWithReason (ImageHandle, EfiStatus, "the firmware did not start every CPU", "");
  }

  return ZppExitWithReason (ImageHandle, ZppEfiStatus (Status), zpp_status_text (Status), Launch->Detail);
}

/**
  The driver's entry point.

  @param[in] ImageHandle  The driver's image.
  @param[in] SystemTable  The system table.

  @retval EFI_SUCCESS          Every CPU is virtualized; the driver stays loaded.
  @retval EFI_ALREADY_STARTED  zpp is already running on this machine.
  @retval other                The hypervisor did not start; the exit data gives the reason.
**/
EFI_STATUS
EFIAPI
ZppDxeEntryPoint (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *Image;
  ZPP_SETTINGS               Settings;
  ZPP_LAUNCH                 Launch;
  EFI_STATUS                 Status;

  if (zpp_cpu_is_held ()) {
    return ZppExitWithReason (ImageHandle, EFI_ALREADY_STARTED, "zpp is already running on this machine", "");
  }

  Status = gBS->HandleProtocol (ImageHandle, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = ZppReadSettings (Image->LoadOptions, Image->LoadOptionsSize, &Settings);
  if (EFI_ERROR (Status)) {
    return ZppExitWithReason (
             ImageHandle,
             Status,
             "a load option is not valid: serial= is the I/O port of a UART (0 to 0xfff8), visible= is 0 or 1, "
             "reset-after= is 0 to 3600",
             ""
             );
  }

  ZeroMem (&Launch, sizeof (Launch));
  return Run (ImageHandle, &Settings, &Launch);
}
