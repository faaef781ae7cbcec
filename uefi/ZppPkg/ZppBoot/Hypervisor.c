/** @file
  Starts the hypervisor.
**/
#include "Hypervisor.h"
#include "Volume.h"

#include <Library/BaseLib.h>
#include <Library/DevicePathLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/PrintLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

#include <loader/cpu.h>
#include <zpp/hypercall.h>

#define DEFAULT_DRIVER    L"\\EFI\\zpp\\ZppDxe.efi"
#define LOAD_OPTIONS_MAX  sizeof ("serial=0xffff")

/**
  Asks the hypervisor how much memory it keeps.

  @return Pages of 4 KiB, or 0 if it does not say.
**/
STATIC
UINT64
KeptPages (
  VOID
  )
{
  UINT64  Status;
  UINT64  Pages;

  Status = ZPP_HYPERCALL (ZPP_HYPERCALL_MEMORY);
  Pages  = 0;
  if (zpp_cpu_is_amd ()) {
    __asm__ volatile ("vmmcall" : "+a" (Status), "+b" (Pages) : : "rcx", "rdx", "rsi", "memory");
  } else {
    __asm__ volatile ("vmcall" : "+a" (Status), "+b" (Pages) : : "rcx", "rdx", "rsi", "memory");
  }

  return Status == ZPP_HYPERCALL_OK ? Pages : 0;
}

/**
  Says what holds the machine.
**/
STATIC
VOID
PrintHeld (
  VOID
  )
{
  UINT32  Version;
  UINT32  Cpus;

  AsmCpuid (ZPP_CPUID_VERSION_LEAF, &Version, NULL, NULL, &Cpus);
  Print (
    L"zpp: hypervisor %d.%d.%d holds %d %a, %ld pages\n",
    (Version >> 16) & 0xff,
    (Version >> 8) & 0xff,
    Version & 0xff,
    Cpus,
    Cpus == 1 ? "CPU" : "CPUs",
    KeptPages ()
    );
}

/**
  Gives the driver its settings.

  @param[in] Driver  The driver's image.
  @param[in] Conf    What zpp.conf says.
**/
STATIC
VOID
SetLoadOptions (
  IN EFI_HANDLE      Driver,
  IN CONST ZPP_CONF  *Conf
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *Image;
  CHAR16                     *Options;
  UINTN                      Length;

  if (!Conf->HasSerial || EFI_ERROR (gBS->HandleProtocol (Driver, &gEfiLoadedImageProtocolGuid, (VOID **)&Image))) {
    return;
  }

  // Belongs to the driver, which stays: not freed.
  Options = AllocatePool (LOAD_OPTIONS_MAX * sizeof (CHAR16));
  if (Options != NULL) {
    Length                 = UnicodeSPrint (Options, LOAD_OPTIONS_MAX * sizeof (CHAR16), L"serial=0x%x", Conf->Serial);
    Image->LoadOptions     = Options;
    Image->LoadOptionsSize = (UINT32)((Length + 1) * sizeof (CHAR16));
  }
}

/**
  Loads the driver.

  @param[in]  ParentImage  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Path         The driver's path.
  @param[out] Driver       The driver's image.

  @retval EFI_SUCCESS  It is loaded.
  @retval other        What LoadImage() returned; nothing stays loaded.
**/
STATIC
EFI_STATUS
LoadDriver (
  IN  EFI_HANDLE    ParentImage,
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Path,
  OUT EFI_HANDLE    *Driver
  )
{
  EFI_DEVICE_PATH_PROTOCOL  *DevicePath;
  EFI_STATUS                Status;

  DevicePath = FileDevicePath (Device, Path);
  if (DevicePath == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  *Driver = NULL;
  Status  = gBS->LoadImage (FALSE, ParentImage, DevicePath, NULL, 0, Driver);
  FreePool (DevicePath);

  // EFI_SECURITY_VIOLATION leaves the image loaded, though it must not be started.
  if (EFI_ERROR (Status) && (*Driver != NULL)) {
    gBS->UnloadImage (*Driver);
  }

  return Status;
}

/**
  Says why there is no hypervisor.

  @param[in] Status  What the driver returned.
  @param[in] Reason  Its exit data; may be NULL.
**/
STATIC
VOID
PrintFailure (
  IN EFI_STATUS    Status,
  IN CONST CHAR16  *Reason OPTIONAL
  )
{
  if (Reason != NULL) {
    Print (L"zpp: no hypervisor: %s\n", Reason);
  } else {
    Print (L"zpp: no hypervisor: the driver failed: %r\n", Status);
  }
}

/**
  Loads and starts the driver, and says what came of it.

  @param[in] ParentImage  This program's image.
  @param[in] Device       The volume's device.
  @param[in] Path         The driver's path.
  @param[in] Conf         What zpp.conf says.
**/
STATIC
VOID
RunDriver (
  IN EFI_HANDLE      ParentImage,
  IN EFI_HANDLE      Device,
  IN CONST CHAR16    *Path,
  IN CONST ZPP_CONF  *Conf
  )
{
  EFI_STATUS  Status;
  EFI_HANDLE  Driver;
  CHAR16      *Reason;
  UINTN       ReasonSize;
  UINT64      Start;
  UINT64      Loaded;
  UINT64      Launched;

  Start  = AsmReadTsc ();
  Status = LoadDriver (ParentImage, Device, Path, &Driver);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: no hypervisor: cannot load %s: %r\n", Path, Status);
    return;
  }

  Loaded = AsmReadTsc ();
  Reason = NULL;
  SetLoadOptions (Driver, Conf);
  Status   = gBS->StartImage (Driver, &ReasonSize, &Reason);
  Launched = AsmReadTsc ();
  if (EFI_ERROR (Status)) {
    PrintFailure (Status, Reason);
  } else {
    PrintHeld ();
    Print (
      L"zpp: loaded and launched in %ld TSC ticks (%ld reading the driver)\n",
      Launched - Start,
      Loaded - Start
      );
  }

  if (Reason != NULL) {
    FreePool (Reason);
  }
}

/**
  Starts the hypervisor's driver, and says in one line what came of it.

  @param[in] ParentImage  This program's image.
  @param[in] Device       The volume's device.
  @param[in] Conf         What zpp.conf says.
**/
VOID
ZppStartHypervisor (
  IN EFI_HANDLE      ParentImage,
  IN EFI_HANDLE      Device,
  IN CONST ZPP_CONF  *Conf
  )
{
  CHAR16  *Path;

  if (zpp_cpu_is_held ()) {
    PrintHeld ();
    return;
  }

  Path = Conf->Driver.Start != NULL ? ZppWidenPath (Conf->Driver) : NULL;
  RunDriver (ParentImage, Device, Path != NULL ? Path : DEFAULT_DRIVER, Conf);
  if (Path != NULL) {
    FreePool (Path);
  }
}
