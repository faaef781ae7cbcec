/** @file
  BOOTX64.EFI of zpp's boot media: starts the hypervisor, then the operating system.

  If the hypervisor does not start or zpp.conf is invalid, one line says why, and the boot continues.
**/
#include "Boot.h"
#include "Diagnose.h"
#include "Hypervisor.h"
#include "LoaderEntry.h"
#include "NextOption.h"
#include "SaveLog.h"

#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

/// How long to wait for a key, in units of 100 ns; loading the default entry usually takes as long.
#define KEY_TIME  (100 * 10000)

/**
  Starts the hypervisor, or says why it does not start.

  @param[in,out] Boot  The boot.
**/
STATIC
VOID
StartHypervisor (
  IN OUT ZPP_BOOT  *Boot
  )
{
  if (!ZppWishStarts (&Boot->Wish)) {
    Print (L"zpp: no hypervisor: %a\n", ZppWishReason (&Boot->Wish));
    if (Boot->Wish.Kind == ZppWishOffByBoots) {
      Print (L"zpp: to turn it on again, press Space at the start, then H in the menu\n");
      ZppKeepOut (&Boot->Boots);
    }

    return;
  }

  if (Boot->Wish.Kind == ZppWishRuns) {
    ZppStartHypervisor (Boot->ImageHandle, Boot->Device, &Boot->Conf.Keys);
    return;
  }

  if (Boot->Wish.Kind == ZppWishOnByMenu) {
    Boot->Boots.Failed = 0;
  } else if (Boot->Wish.Failed > 0) {
    Print (L"zpp: %a\n", ZppWishReason (&Boot->Wish));
  }

  ZppCountBoot (&Boot->Boots);
  if (!ZppStartHypervisor (Boot->ImageHandle, Boot->Device, &Boot->Conf.Keys)) {
    ZppUncountBoot (&Boot->Boots);
  }
}

/**
  Starts the chosen entry, else the firmware's next boot options.

  @param[in,out] Boot  The boot.

  @retval EFI_NOT_FOUND  There is nothing to start.
  @retval other          The exit status of the last program started.
**/
STATIC
EFI_STATUS
StartSystem (
  IN OUT ZPP_BOOT  *Boot
  )
{
  EFI_STATUS  Status;

  Status = EFI_NOT_FOUND;
  if (Boot->Program != NULL) {
    ZppCountTry (Boot->Device, Boot->Entry);
    Status = ZppStartEntry (Boot->Device, Boot->Entry, Boot->Program);
  }

  if (EFI_ERROR (Status)) {
    Status = ZppStartNextOption (Boot->ImageHandle);
  }

  if (Status == EFI_NOT_FOUND) {
    Print (L"zpp: nothing to start: no default entry in %s, no boot option, and no disk with a boot loader\n", ZPP_CONF_PATH);
  }

  return Status;
}

/**
  Starts the hypervisor, then the operating system.

  @param[in] ImageHandle  This program's image.
  @param[in] Device       The device it was started from.

  @retval EFI_NOT_FOUND  There is nothing to start.
  @retval other          The exit status of the last program started.
**/
STATIC
EFI_STATUS
Start (
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  )
{
  ZPP_BOOT    Boot;
  EFI_STATUS  Status;

  ZeroMem (&Boot, sizeof (Boot));
  Boot.ImageHandle = ImageHandle;
  Boot.Device      = Device;
  if (EFI_ERROR (gBS->CreateEvent (EVT_TIMER, TPL_CALLBACK, NULL, NULL, &Boot.KeyTime))) {
    Boot.KeyTime = NULL;
  } else {
    gBS->SetTimer (Boot.KeyTime, TimerRelative, KEY_TIME);
  }

  ZppReadConf (Device, &Boot.Conf);
  ZppSaveLog (Device, Boot.Conf.Keys.SaveLog);
  ZppReadWish (&Boot);
  ZppDecide (&Boot);
  if (Boot.KeyTime != NULL) {
    gBS->CloseEvent (Boot.KeyTime);
  }

  if ((Boot.Wish.Kind == ZppWishOn) && (Boot.Program != NULL) && ZppEntryIsBad (Boot.Entry)) {
    ZppSetWish (&Boot.Wish, ZppWishOffByEntry);
  }

  if (Boot.Conf.Keys.Check) {
    ZppDiagnose (ImageHandle, Device);
  }

  StartHypervisor (&Boot);
  Status = StartSystem (&Boot);
  if (Boot.Wish.Kind <= ZppWishOnByMenu) {
    ZppUncountBoot (&Boot.Boots);
  }

  ZppFreeEntries (&Boot.Entries);
  if (Boot.Conf.Text != NULL) {
    FreePool (Boot.Conf.Text);
  }

  return Status;
}

/**
  The program's entry point.

  @param[in] ImageHandle  This program's image.
  @param[in] SystemTable  The system table.

  @retval EFI_ALREADY_STARTED  Another copy of this program started this one.
  @retval EFI_NOT_FOUND        There is nothing to start.
  @retval other                The exit status of the last program started.
**/
EFI_STATUS
EFIAPI
ZppBootEntryPoint (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *Image;
  VOID                       *Running;
  EFI_STATUS                 Status;

  // Prevents the copies on two boot media from starting each other in an endless loop.
  if (!EFI_ERROR (gBS->LocateProtocol (&gZppBootRunningGuid, NULL, &Running))) {
    Print (L"zpp: another copy of ZppBoot is already running\n");
    return EFI_ALREADY_STARTED;
  }

  Status = gBS->HandleProtocol (ImageHandle, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  gBS->InstallMultipleProtocolInterfaces (&ImageHandle, &gZppBootRunningGuid, NULL, NULL);
  Status = Start (ImageHandle, Image->DeviceHandle);
  gBS->UninstallMultipleProtocolInterfaces (ImageHandle, &gZppBootRunningGuid, NULL, NULL);
  return Status;
}
