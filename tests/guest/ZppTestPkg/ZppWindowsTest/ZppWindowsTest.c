/** @file
  Starts the Windows driver, the file as it was built, on an emulated Windows kernel and a real
  (or emulated) CPU with VT-x or AMD-V.

  Three times: first Windows refuses the last CPU when the others are taken, so that all are given
  back; then nothing is in the way; then zpp is there already. Each time the driver is unmapped.
  Prints a line for each, and starts \EFI\zpp\guest.efi, if it is there, with this program's own
  load options. Started without zpp ("hypervisor = off"); the driver is \EFI\zpp\zpp_loader.sys.
**/
#include "Image.h"
#include "Thread.h"
#include "Volume.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/DevicePathLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>
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
  UINTN       *Held;  ///< For each CPU, whether zpp holds it.
} WINDOWS_TEST;

/**
  Enters the driver; the thread's function.

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
  Notes whether zpp holds the CPU that runs it.

  @param[in,out] Context  The WINDOWS_TEST.
  @param[in]     Cpu      This CPU's number.
**/
STATIC
VOID
NoteHeld (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  )
{
  WINDOWS_TEST  *Test;
  UINT32        Ebx;

  Test = Context;
  AsmCpuid (ZPP_CPUID_SIGNATURE_LEAF, NULL, &Ebx, NULL, NULL);
  Test->Held[Cpu] = Ebx == ZPP_SIGNATURE_EBX;
}

/**
  Counts the CPUs that zpp holds.

  @param[in,out] Test  The test.

  @return Their number; MAX_UINTN if a CPU did not answer.
**/
STATIC
UINTN
CountHeld (
  IN OUT WINDOWS_TEST  *Test
  )
{
  UINTN  Cpu;
  UINTN  Count;

  if (EFI_ERROR (ZppRunOnEveryCpu (&Test->Cpus, ZppBspFirst, NoteHeld, Test))) {
    return MAX_UINTN;
  }

  Count = 0;
  for (Cpu = 0; Cpu < Test->Cpus.Count; Cpu++) {
    Count += Test->Held[Cpu];
  }

  return Count;
}

/**
  Loads, enters and unloads the driver, and prints what came of it in one line.

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
  CONST ZPP_KERNEL_TRACE  *Trace;
  EFI_STATUS              Status;

  ZppResetKernel (&Test->Cpus, RefuseAt);
  Status = ZppLoadDriver (Test->File, &Image);
  if (EFI_ERROR (Status)) {
    Print (L"FAIL: the driver is not loaded: %r\n", Status);
    return;
  }

  Start.Entry = Image.Entry;
  Status      = ZppRunThread (&Test->Cpus, EnterDriver, &Start);
  ZppUnloadDriver (&Image);
  Trace = ZppKernelTrace ();
  Print (L"Result: %s\n", Trace->Result);
  Print (
    L"DriverEntry: %08x, %r; left: %d pool, %d handles, memory %d; held: %d of %d\n",
    Start.Status,
    Status,
    Trace->PoolBlocks,
    Trace->Handles,
    Trace->Ranges != 0,
    CountHeld (Test),
    Test->Cpus.Count
    );
}

/**
  Starts the next program, with the same load options.

  @param[in] ImageHandle  This program's image.
  @param[in] Image        The same.
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
    Print (L"FAIL: the driver or the CPUs are not there: %r\n", Status);
  } else {
    Test.Held = AllocateZeroPool (Test.Cpus.Count * sizeof (*Test.Held));
    // Each CPU is asked for twice, and CPU 0 once more in between; this is the last one's launch.
    StartDriver (&Test, 2 * Test.Cpus.Count + 1);
    StartDriver (&Test, 0);
    StartDriver (&Test, 0);
    StartGuest (ImageHandle, Image);
  }

  // Long enough for a serial port to send the last line.
  gBS->Stall (200 * 1000);
  gRT->ResetSystem (EfiResetShutdown, EFI_SUCCESS, 0, NULL);
  return EFI_ABORTED;
}
