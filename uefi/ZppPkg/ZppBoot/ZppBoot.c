/** @file
  BOOTX64.EFI of zpp's boot media: starts the hypervisor, then the operating system.

  If the hypervisor does not start or zpp.conf is invalid, one line says why, and the boot continues.
**/
#include "Conf.h"
#include "Entry.h"
#include "Hypervisor.h"
#include "NextOption.h"
#include "SaveLog.h"
#include "Volume.h"

#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

#define CONF_PATH  L"\\EFI\\zpp\\zpp.conf"

/// zpp.conf: its text, which contains the entries, and the parsed keys.
typedef struct {
  CHAR8       *Text;
  UINTN       Size;
  ZPP_CONF    Keys;
} CONF_FILE;

/**
  Prints an error in zpp.conf.

  @param[in] Context  Not used.
  @param[in] Line     The line's number, from 1.
  @param[in] Message  What is wrong.
  @param[in] What     The text that the message is about.
**/
STATIC
VOID
PrintConfError (
  IN VOID        *Context,
  IN unsigned    Line,
  IN CONST char  *Message,
  IN ZPP_TEXT    What
  )
{
  CHAR16  *Text;

  Text = ZppTextToString (What);
  Print (L"zpp: %s:%d: %a %s\n", CONF_PATH, Line, Message, Text == NULL ? L"" : Text);
  if (Text != NULL) {
    FreePool (Text);
  }
}

/**
  Reads zpp.conf.

  @param[in]  Device  The volume's device.
  @param[out] Conf    The file's content, or the defaults if it cannot be read.
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

  ZppConfParse (Conf->Text, Conf->Size, &Conf->Keys, PrintConfError, NULL);
}

/**
  Loads the default entry of zpp.conf, if it names one.

  @param[in]  ImageHandle  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Conf         The content of zpp.conf.
  @param[out] Entry        The entry.
  @param[out] Program      Its program's image.

  @retval EFI_SUCCESS    The program is loaded.
  @retval EFI_NOT_FOUND  There is no such entry.
  @retval other          The error, which has been printed.
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
    PrintConfError (NULL, Conf->Keys.DefaultLine, "default names a section that does not exist or has no path:", Conf->Keys.Default);
    return EFI_NOT_FOUND;
  }

  return ZppLoadEntry (ImageHandle, Device, Entry, Program);
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
  ZppSaveLog (Device, Conf.Keys.SaveLog);
  // Before the launch: an emulator has already translated the firmware's file-reading code for bare
  // CPUs, and would translate it again for guests.
  Status = LoadDefaultEntry (ImageHandle, Device, &Conf, &Entry, &Program);
  if (Conf.Keys.Hypervisor) {
    ZppStartHypervisor (ImageHandle, Device, &Conf.Keys);
  } else {
    Print (L"zpp: no hypervisor: turned off in %s\n", CONF_PATH);
  }

  if (!EFI_ERROR (Status)) {
    Status = ZppStartEntry (Device, &Entry, Program);
  }

  if (EFI_ERROR (Status)) {
    Status = ZppStartNextOption (ImageHandle);
  }

  if (Status == EFI_NOT_FOUND) {
    Print (L"zpp: nothing to start: no default entry in %s, no boot option, and no disk with a boot loader\n", CONF_PATH);
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
  Status = Boot (ImageHandle, Image->DeviceHandle);
  gBS->UninstallMultipleProtocolInterfaces (ImageHandle, &gZppBootRunningGuid, NULL, NULL);
  return Status;
}
