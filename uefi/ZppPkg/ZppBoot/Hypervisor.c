/** @file
  Starts the hypervisor.
**/
#include "Hypervisor.h"
#include "Program.h"
#include "Volume.h"

#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/PrintLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

#include <loader/cpu.h>
#include <zpp/hypercall.h>

#define DEFAULT_DRIVER    L"\\EFI\\zpp\\ZppDxe.efi"
#define LOAD_OPTIONS_MAX  sizeof ("serial=0xffff visible=1 reset-after=3600 trace=0xffff")

/**
  Asks the hypervisor how much memory it uses.

  @return Pages of 4 KiB, or 0 if the hypercall fails.
**/
STATIC
UINT64
UsedPages (
  VOID
  )
{
  struct zpp_hypercall_registers  Registers;

  Registers = (struct zpp_hypercall_registers) { 0 };
  return zpp_cpu_hypercall (ZPP_HYPERCALL_MEMORY, &Registers) == ZPP_HYPERCALL_OK ? Registers.rbx : 0;
}

/**
  Prints which hypervisor runs, and on how many CPUs.
**/
STATIC
VOID
PrintRunning (
  VOID
  )
{
  UINT32  Version;
  UINT32  Cpus;

  AsmCpuidEx (ZPP_CPUID_VERSION_LEAF, ZPP_CPUID_KEY, &Version, NULL, NULL, &Cpus);
  Print (
    L"zpp: hypervisor %d.%d.%d runs on %d %a and uses %ld pages\n",
    (Version >> 16) & 0xff,
    (Version >> 8) & 0xff,
    Version & 0xff,
    Cpus,
    Cpus == 1 ? "CPU" : "CPUs",
    UsedPages ()
    );
}

/**
  Passes the settings to the driver.

  @param[in] Driver  The driver's image.
  @param[in] Conf    The settings from zpp.conf.
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

  if (EFI_ERROR (gBS->HandleProtocol (Driver, &gEfiLoadedImageProtocolGuid, (VOID **)&Image))) {
    return;
  }

  // Not freed: it belongs to the driver, which stays loaded.
  Options = AllocatePool (LOAD_OPTIONS_MAX * sizeof (CHAR16));
  if (Options != NULL) {
    Length = UnicodeSPrint (
               Options,
               LOAD_OPTIONS_MAX * sizeof (CHAR16),
               L"visible=%d reset-after=%d trace=0x%x",
               Conf->Visible,
               Conf->ResetAfter,
               Conf->Trace
               );
    if (Conf->HasSerial) {
      Length += UnicodeSPrint (
                  Options + Length,
                  (LOAD_OPTIONS_MAX - Length) * sizeof (CHAR16),
                  L" serial=0x%x",
                  Conf->Serial
                  );
    }

    Image->LoadOptions     = Options;
    Image->LoadOptionsSize = (UINT32)((Length + 1) * sizeof (CHAR16));
  }
}

/**
  Prints why the hypervisor did not start.

  @param[in] Status  The driver's status.
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
  Loads and starts the driver, and prints the result.

  @param[in] ParentImage  This program's image.
  @param[in] Device       The volume's device.
  @param[in] Path         The driver's path.
  @param[in] Conf         The settings from zpp.conf.
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
  Status = ZppLoadFile (ParentImage, Device, Path, &Driver);
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
    PrintRunning ();
    Print (
      L"zpp: loaded and launched in %ld TSC ticks (%ld to load the driver)\n",
      Launched - Start,
      Loaded - Start
      );
  }

  if (Reason != NULL) {
    FreePool (Reason);
  }
}

BOOLEAN
ZppStartHypervisor (
  IN EFI_HANDLE      ParentImage,
  IN EFI_HANDLE      Device,
  IN CONST ZPP_CONF  *Conf
  )
{
  CHAR16  *Path;

  if (zpp_cpu_is_held ()) {
    PrintRunning ();
    return TRUE;
  }

  Path = Conf->Driver.Start != NULL ? ZppTextToPath (Conf->Driver) : NULL;
  RunDriver (ParentImage, Device, Path != NULL ? Path : DEFAULT_DRIVER, Conf);
  if (Path != NULL) {
    FreePool (Path);
  }

  return zpp_cpu_is_held ();
}
