/** @file
  The hypervisor's UEFI loader: takes every CPU of the machine, then stays out of the way.
**/
#include "Cpus.h"
#include "Failure.h"
#include "Memory.h"
#include "Settings.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Protocol/LoadedImage.h>

#include <loader/cpu.h>
#include <loader/loader.h>

extern CONST UINT8  gHypervisorElf[];
extern CONST UINT8  gHypervisorElfEnd[];

#define HYPERVISOR_ELF_SIZE  ((UINT64)(gHypervisorElfEnd - gHypervisorElf))

typedef struct {
  ZPP_CPUS             Cpus;
  ZPP_MEMORY           Memory;
  struct zpp_loader    Loader;
  enum zpp_status      *CpuStatus; ///< What each CPU's launch answered.
  UINTN                FailedCpu;  ///< The first that was not launched.
  UINT32               *ApicIds;   ///< Each CPU's.
  CHAR8                Detail[sizeof (((struct zpp_cpu_call *)0)->detail)];
} ZPP_LAUNCH;

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
  Launches the hypervisor on the CPU that runs it.

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
  // Without the BSP, which comes first, no AP may be launched.
  if ((Cpu != Launch->Cpus.Bsp) && (Launch->CpuStatus[Launch->Cpus.Bsp] != ZPP_OK)) {
    return;
  }

  Launch->CpuStatus[Cpu] = zpp_loader_launch (&Launch->Loader, (UINT32)Cpu);
}

/**
  Takes the hypervisor off the CPU that runs it, if it is there.

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
  The first status of a CPU that is not ZPP_OK.

  @param[in,out] Launch  The launch, after it ran on every CPU; gets that CPU's number.

  @retval ZPP_OK  Every CPU is held.
  @retval other   Why a CPU is not held.
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
  Copies what a failure is about out of the memory that is about to be freed.

  @param[in,out] Launch  The launch; no CPU is held.
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
  Allocates the hypervisor's memory and prepares it there.

  @param[in,out] Launch    The launch; its CPUs are known.
  @param[in]     Settings  The user's settings.

  @retval ZPP_OK  The hypervisor may be launched.
  @retval other   Why not.
**/
STATIC
enum zpp_status
Prepare (
  IN OUT ZPP_LAUNCH          *Launch,
  IN     CONST ZPP_SETTINGS  *Settings
  )
{
  struct zpp_loader_request  Request;
  UINT64                     Pages;

  Pages = zpp_loader_pages (gHypervisorElf, HYPERVISOR_ELF_SIZE, (UINT32)Launch->Cpus.Count);
  if (Pages == 0) {
    return ZPP_BAD_ELF;
  }

  if (EFI_ERROR (ZppAllocateMemory ((UINTN)Pages, &Launch->Memory))) {
    return ZPP_NO_MEMORY;
  }

  Request = (struct zpp_loader_request) {
    .os                = { .virtual_of = VirtualOf, .physical_of = PhysicalOf },
    .elf               = gHypervisorElf,
    .elf_size          = HYPERVISOR_ELF_SIZE,
    .ranges            = Launch->Memory.Ranges,
    .range_count       = Launch->Memory.Count,
    .cpu_count         = (UINT32)Launch->Cpus.Count,
    .apic_ids          = Launch->ApicIds,
    .serial_port       = Settings->SerialPort,
    .wait_for_debugger = Settings->WaitForDebugger,
  };
  return zpp_loader_prepare (&Launch->Loader, &Request);
}

/**
  Launches the hypervisor on every CPU and commits it, or leaves every CPU as it was.

  @param[in,out] Launch     The launch, prepared.
  @param[out]    EfiStatus  What the firmware's MP services said.

  @retval ZPP_OK  EfiStatus decides: EFI_SUCCESS, the hypervisor holds every CPU.
  @retval other   Why the hypervisor holds no CPU.
**/
STATIC
enum zpp_status
LaunchAll (
  IN OUT ZPP_LAUNCH  *Launch,
  OUT    EFI_STATUS  *EfiStatus
  )
{
  enum zpp_status  Status;
  EFI_STATUS       Devirtualized;

  *EfiStatus = ZppRunOnEveryCpu (&Launch->Cpus, ZppBspFirst, LaunchCpu, Launch);
  Status     = EFI_ERROR (*EfiStatus) ? ZPP_OK : FirstFailure (Launch);
  if (!EFI_ERROR (*EfiStatus) && (Status == ZPP_OK)) {
    Status = zpp_loader_commit ();
    if (Status == ZPP_OK) {
      return ZPP_OK;
    }
  }

  Devirtualized = ZppRunOnEveryCpu (&Launch->Cpus, ZppBspLast, DevirtualizeCpu, Launch);
  if (EFI_ERROR (*EfiStatus) || EFI_ERROR (Devirtualized)) {
    // A CPU did not answer: it may still be in the hypervisor, which therefore keeps its memory.
    Launch->Memory.Count = 0;
  } else {
    SaveDetail (Launch);
  }

  return Status;
}

/**
  Finds the machine's CPUs, and makes room for what is noted of each.

  @param[in,out] Launch  Zero-filled; gets the CPUs.
  @param[out]    Reason  What is wrong.

  @retval EFI_SUCCESS  The CPUs are known.
  @retval other        They are not.
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

  *Reason = "the firmware has no multi-processor services";
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

  // Stays for a CPU that the firmware never ran.
  for (Cpu = 0; Cpu < Launch->Cpus.Count; Cpu++) {
    Launch->CpuStatus[Cpu] = ZPP_BAD_CALL;
  }

  *Reason = "the firmware does not know its CPUs";
  return ZppFindApicIds (&Launch->Cpus, Launch->ApicIds);
}

/**
  Gives back what FindCpus() made room for.

  @param[in,out] Launch  The launch.
**/
STATIC
VOID
ForgetCpus (
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
  Does the driver's work.

  @param[in]     ImageHandle  The driver's image.
  @param[in]     Settings     The user's settings.
  @param[in,out] Launch       Zero-filled.

  @retval EFI_SUCCESS  The hypervisor holds every CPU.
  @retval other        It holds none; the exit data says why.
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
    ForgetCpus (Launch);
    return ZppExit (ImageHandle, EfiStatus, Reason, "");
  }

  Status = Prepare (Launch, Settings);
  if (Status == ZPP_OK) {
    Status = LaunchAll (Launch, &EfiStatus);
  } else {
    SaveDetail (Launch);
  }

  ForgetCpus (Launch);
  if ((Status == ZPP_OK) && !EFI_ERROR (EfiStatus)) {
    return EFI_SUCCESS;
  }

  ZppFreeMemory (&Launch->Memory);
  if (Status == ZPP_OK) {
    return ZppExit (ImageHandle, EfiStatus, "the firmware did not start every CPU", "");
  }

  return ZppExit (ImageHandle, ZppEfiStatus (Status), zpp_status_text (Status), Launch->Detail);
}

/**
  The driver's entry point.

  @param[in] ImageHandle  The driver's image.
  @param[in] SystemTable  The system table.

  @retval EFI_SUCCESS          The hypervisor holds every CPU; the driver stays loaded.
  @retval EFI_ALREADY_STARTED  A hypervisor holds the CPUs already.
  @retval other                There is no hypervisor; the exit data says why.
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
    return ZppExit (ImageHandle, EFI_ALREADY_STARTED, "zpp holds this machine already", "");
  }

  Status = gBS->HandleProtocol (ImageHandle, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Status = ZppReadSettings (Image->LoadOptions, Image->LoadOptionsSize, &Settings);
  if (EFI_ERROR (Status)) {
    return ZppExit (ImageHandle, Status, "the load option serial= is no I/O port", "");
  }

  ZeroMem (&Launch, sizeof (Launch));
  return Run (ImageHandle, &Settings, &Launch);
}
