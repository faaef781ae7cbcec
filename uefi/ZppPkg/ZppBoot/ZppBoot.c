/** @file
  BOOTX64.EFI of zpp's boot media: starts the hypervisor, then the operating system.

  Whatever is wrong with the hypervisor or with zpp.conf is said in one line, and the boot goes on.
**/
#include "Conf.h"
#include "Entry.h"
#include "Hypervisor.h"
#include "NextOption.h"
#include "Volume.h"

#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

#define CONF_PATH  L"\\EFI\\zpp\\zpp.conf"

/// The text of zpp.conf and what it says; the entries stay in the text.
typedef struct {
  CHAR8       *Text;
  UINTN       Size;
  ZPP_CONF    Keys;
} CONF_FILE;

/**
  Says what is wrong with a line of zpp.conf.

  @param[in] Context  Not used.
  @param[in] Line     The line's number, from 1.
  @param[in] Message  What is wrong.
  @param[in] What     The piece of text that is wrong.
**/
STATIC
VOID
ReportFault (
  IN VOID        *Context,
  IN unsigned    Line,
  IN CONST char  *Message,
  IN ZPP_TEXT    What
  )
{
  CHAR16  *Text;

  Text = ZppWiden (What);
  Print (L"zpp: %s:%d: %a %s\n", CONF_PATH, Line, Message, Text == NULL ? L"" : Text);
  if (Text != NULL) {
    FreePool (Text);
  }
}

/**
  Reads zpp.conf.

  @param[in]  Device  The volume's device.
  @param[out] Conf    What it says; without the file, the defaults.
**/
STATIC
VOID
ReadConf (
  IN  EFI_HANDLE  Device,
  OUT CONF_FILE   *Conf
  )
{
  EFI_STATUS  Status;

  Conf->Text = NULL;
  Conf->Size = 0;
  Status     = ZppReadFile (Device, CONF_PATH, ZPP_CONF_SIZE_MAX, (VOID **)&Conf->Text, &Conf->Size);
  if (EFI_ERROR (Status)) {
    Conf->Text = NULL;
    Conf->Size = 0;
    Print (L"zpp: cannot read %s: %r\n", CONF_PATH, Status);
  }

  ZppConfParse (Conf->Text, Conf->Size, &Conf->Keys, ReportFault, NULL);
}

/**
  Loads the default entry of zpp.conf, if it names one.

  @param[in]  ImageHandle  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Conf         What zpp.conf says.
  @param[out] Entry        The entry.
  @param[out] Program      Its program's image.

  @retval EFI_SUCCESS    It is loaded.
  @retval EFI_NOT_FOUND  There is no such entry.
  @retval other          Why its program is not loaded.
**/
STATIC
EFI_STATUS
LoadDefaultEntry (
  IN  EFI_HANDLE       ImageHandle,
  IN  EFI_HANDLE       Device,
  IN  CONST CONF_FILE  *Conf,
  OUT ZPP_CONF_ENTRY   *Entry,
  OUT EFI_HANDLE       *Program
  )
{
  if (Conf->Keys.Default.Start == NULL) {
    return EFI_NOT_FOUND;
  }

  if (!ZppConfFindEntry (Conf->Text, Conf->Size, Conf->Keys.Default, Entry)) {
    ReportFault (NULL, Conf->Keys.DefaultLine, "default names no section with a path:", Conf->Keys.Default);
    return EFI_NOT_FOUND;
  }

  return ZppLoadEntry (ImageHandle, Device, Entry, Program);
}

/**
  Starts the hypervisor, then the operating system.

  @param[in] ImageHandle  This program's image.
  @param[in] Device       The device it was started from.

  @retval EFI_NOT_FOUND  There is nothing to start.
  @retval other          What the last program that was started returned.
**/
STATIC
EFI_STATUS
Boot (
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  )
{
  CONF_FILE       Conf;
  ZPP_CONF_ENTRY  Entry;
  EFI_HANDLE      Program;
  EFI_STATUS      Status;

  ReadConf (Device, &Conf);
  // Before the hypervisor holds the CPUs: an emulator has translated the firmware's code that reads
  // files for bare CPUs, and would do so again for a guest's.
  Status = LoadDefaultEntry (ImageHandle, Device, &Conf, &Entry, &Program);
  if (Conf.Keys.Hypervisor) {
    ZppStartHypervisor (ImageHandle, Device, &Conf.Keys);
  } else {
    Print (L"zpp: no hypervisor: %s says off\n", CONF_PATH);
  }

  if (!EFI_ERROR (Status)) {
    Status = ZppStartEntry (Device, &Entry, Program);
  }

  if (EFI_ERROR (Status)) {
    Status = ZppStartNextOption (ImageHandle);
  }

  if (Status == EFI_NOT_FOUND) {
    Print (L"zpp: nothing to start: no entry in %s, and no boot option or disk with a loader\n", CONF_PATH);
  }

  if (Conf.Text != NULL) {
    FreePool (Conf.Text);
  }

  return Status;
}

/**
  The program's entry point.

  @param[in] ImageHandle  This program's image.
  @param[in] SystemTable  The system table.

  @retval EFI_ALREADY_STARTED  Another copy of this program started this one.
  @retval EFI_NOT_FOUND        There is nothing to start.
  @retval other                What the last program that was started returned.
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

  // Two boot media, each with a copy: without this they would start each other for ever.
  if (!EFI_ERROR (gBS->LocateProtocol (&gZppBootRunningGuid, NULL, &Running))) {
    Print (L"zpp: another copy of this program is at work\n");
    return EFI_ALREADY_STARTED;
  }

  Status = gBS->HandleProtocol (ImageHandle, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  gBS->InstallMultipleProtocolInterfaces (&ImageHandle, &gZppBootRunningGuid, NULL, NULL);
  Status = Boot (ImageHandle, Image->DeviceHandle);
  gBS->UninstallMultipleProtocolInterfaces (ImageHandle, &gZppBootRunningGuid, NULL, NULL);
  return Status;
}
