/** @file
  Starts the Windows driver, unchanged, on an emulated Windows kernel and a CPU with VT-x or AMD-V.

  It does so three times: first Windows refuses the last CPU after the others were launched, which must
  cause a rollback; then the launch succeeds; then zpp is already running. Prints a result for each, and
  starts \EFI\zpp\guest.efi, if it exists, with its own load options. Must be started without zpp
  ("hypervisor = off"); the driver is \EFI\zpp\zpp_loader.sys.
**/
#include "Image.h"
#include "Thread.h"
#include "Verdict.h"
#include "Volume.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/DevicePathLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

#include <zpp/hypercall.h>

#define DRIVER_PATH      L"\\EFI\\zpp\\zpp_loader.sys"
#define GUEST_PATH       L"\\EFI\\zpp\\guest.efi"
#define DRIVER_SIZE_MAX  SIZE_16MB

typedef struct {
  ZPP_DRIVER_ENTRY    Entry;
  NTSTATUS            Status;
} DRIVER_START;

typedef struct {
  ZPP_CPUS    Cpus;
  VOID        *File;  ///< The driver.
  UINTN       *Virtualized; ///< For each CPU, 1 if it is virtualized.
} WINDOWS_TEST;

/**
  Calls the driver's entry point. The thread's function.

  @param[in,out] Context  The DRIVER_START.
**/
STATIC
VOID
EnterDriver (
  IN OUT VOID  *Context
  )
{
  DRIVER_START  *Start;

  Start         = Context;
  Start->Status = Start->Entry (NULL, NULL);
}

/**
  Records whether the current CPU is virtualized.

  @param[in,out] Context  The WINDOWS_TEST.
  @param[in]     Cpu      This CPU's number.
**/
STATIC
VOID
RecordCpu (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  )
{
  WINDOWS_TEST  *Test;
  UINT32        Ebx;

  Test = Context;
  AsmCpuidEx (ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY, NULL, &Ebx, NULL, NULL);
  Test->Virtualized[Cpu] = Ebx == ZPP_SIGNATURE_EBX;
}

/**
  Counts the virtualized CPUs.

  @param[in,out] Test  The test.

  @return Their number, or MAX_UINTN if a CPU did not answer.
**/
STATIC
UINTN
CountVirtualized (
  IN OUT WINDOWS_TEST  *Test
  )
{
  UINTN  Cpu;
  UINTN  Count;

  if (EFI_ERROR (ZppRunOnEveryCpu (&Test->Cpus, ZppBspFirst, RecordCpu, Test))) {
    return MAX_UINTN;
  }

  Count = 0;
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Count += Test->Virtualized[Cpu];
  }

  return Count;
}

/**
  Loads, starts and unloads the driver, and prints the result.

  @param[in,out] Test      The test.
  @param[in]     RefuseAt  As for ZppResetKernel().
**/
STATIC
VOID
StartDriver (
  IN OUT WINDOWS_TEST  *Test,
  IN     UINTN         RefuseAt
  )
{
  ZPP_DRIVER_IMAGE        Image;
  DRIVER_START            Start;
  CONST ZPP_KERNEL_STATE  *Kernel;
  EFI_STATUS              Status;

  ZppResetKernel (&Test->Cpus, RefuseAt);
  Status = ZppLoadDriver (Test->File, &Image);
  if (EFI_ERROR (Status)) {
    Print (L"FAIL: the driver cannot be loaded: %r\n", Status);
    return;
  }

  Start.Entry = Image.Entry;
  Status      = ZppRunThread (&Test->Cpus, EnterDriver, &Start);
  ZppUnloadDriver (&Image);
  Kernel = ZppKernelState ();
  Print (L"Result: %s\n", Kernel->Result);
  Print (
    L"DriverEntry: %08x, %r; not released: %d pool, %d handles, memory %d; virtualized: %d of %d\n",
    Start.Status,
    Status,
    Kernel->PoolBlocks,
    Kernel->Handles,
    Kernel->Ranges != 0,
    CountVirtualized (Test),
    Test->Cpus.Count
    );
}

/**
  Starts the next program, with the same load options.

  @param[in] ImageHandle  This program's image.
  @param[in] Image        Its loaded-image protocol.
**/
STATIC
VOID
StartGuest (
  IN EFI_HANDLE                 ImageHandle,
  IN EFI_LOADED_IMAGE_PROTOCOL  *Image
  )
{
  EFI_DEVICE_PATH_PROTOCOL   *Path;
  EFI_HANDLE                 Handle;
  EFI_LOADED_IMAGE_PROTOCOL  *Guest;

  Path = FileDevicePath (Image->DeviceHandle, GUEST_PATH);
  if ((Path == NULL) || EFI_ERROR (gBS->LoadImage (FALSE, ImageHandle, Path, NULL, 0, &Handle))) {
    return;
  }

  gBS->HandleProtocol (Handle, &gEfiLoadedImageProtocolGuid, (VOID **)&Guest);
  Guest->LoadOptions     = Image->LoadOptions;
  Guest->LoadOptionsSize = Image->LoadOptionsSize;
  gBS->StartImage (Handle, NULL, NULL);
}

/**
  The program's entry point.

  @param[in] ImageHandle  This program's image.
  @param[in] SystemTable  The system table.

  @retval EFI_ABORTED  The machine did not turn off.
**/
EFI_STATUS
EFIAPI
ZppWindowsTestEntryPoint (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *Image;
  WINDOWS_TEST               Test;
  EFI_STATUS                 Status;
  UINTN                      Size;

  gBS->HandleProtocol (ImageHandle, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  Status = ZppReadFile (Image->DeviceHandle, DRIVER_PATH, DRIVER_SIZE_MAX, &Test.File, &Size);
  if (!EFI_ERROR (Status)) {
    Status = ZppFindCpus (&Test.Cpus);
  }

  if (EFI_ERROR (Status) || (Test.Cpus.Bsp != 0)) {
    Print (L"FAIL: the driver or the CPUs cannot be found: %r\n", Status);
  } else {
    Test.Virtualized = AllocateZeroPool (Test.Cpus.Count * sizeof (*Test.Virtualized));
    // The driver asks twice for each CPU, and once more for CPU 0 in between: this is the last launch.
    StartDriver (&Test, 2 * Test.Cpus.Count + 1);
    StartDriver (&Test, 0);
    StartDriver (&Test, 0);
    StartGuest (ImageHandle, Image);
  }

  ZppPowerOff ();
  return EFI_ABORTED;
}
