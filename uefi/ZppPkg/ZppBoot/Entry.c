/** @file
  Starts an operating system that zpp.conf names.
**/
#include "Entry.h"
#include "Initrd.h"
#include "Program.h"
#include "Volume.h"

#include <Library/BaseLib.h>
#include <Library/DevicePathLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

/**
  Loads a program of the volume.

  @param[in]  ParentImage  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Path         The program's path.
  @param[out] Program      Its image.

  @retval EFI_SUCCESS  It is loaded.
  @retval other        Why not.
**/
STATIC
EFI_STATUS
Load (
  IN  EFI_HANDLE    ParentImage,
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Path,
  OUT EFI_HANDLE    *Program
  )
{
  EFI_DEVICE_PATH_PROTOCOL  *DevicePath;
  EFI_STATUS                Status;

  DevicePath = FileDevicePath (Device, Path);
  if (DevicePath == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  Status = ZppLoadProgram (ParentImage, FALSE, DevicePath, Program);
  FreePool (DevicePath);
  return Status;
}

/**
  Offers the entry's initrd, if it has one.

  @param[in] Device  The volume's device.
  @param[in] Initrd  The initrd's path in zpp.conf; may be absent.
**/
STATIC
VOID
OfferInitrd (
  IN EFI_HANDLE  Device,
  IN ZPP_TEXT    Initrd
  )
{
  CHAR16      *Path;
  EFI_STATUS  Status;

  if (Initrd.Start == NULL) {
    return;
  }

  Path   = ZppWidenPath (Initrd);
  Status = Path == NULL ? EFI_OUT_OF_RESOURCES : ZppOfferInitrd (Device, Path);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot give the initrd %s: %r\n", Path == NULL ? L"" : Path, Status);
  }

  if (Path != NULL) {
    FreePool (Path);
  }
}

/**
  Loads the program of an entry of zpp.conf, and says why if that fails.

  @param[in]  ParentImage  This program's image.
  @param[in]  Device       The volume's device.
  @param[in]  Entry        The entry.
  @param[out] Program      The program's image.

  @retval EFI_SUCCESS  It is loaded.
  @retval other        Why not, which has been printed.
**/
EFI_STATUS
ZppLoadEntry (
  IN  EFI_HANDLE            ParentImage,
  IN  EFI_HANDLE            Device,
  IN  CONST ZPP_CONF_ENTRY  *Entry,
  OUT EFI_HANDLE            *Program
  )
{
  CHAR16      *Path;
  EFI_STATUS  Status;

  Path   = ZppWidenPath (Entry->Path);
  Status = Path == NULL ? EFI_OUT_OF_RESOURCES : Load (ParentImage, Device, Path, Program);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot start %s: %r\n", Path == NULL ? L"" : Path, Status);
  }

  if (Path != NULL) {
    FreePool (Path);
  }

  return Status;
}

/**
  Starts a loaded entry with its initrd and its command line. Comes back only if the program does.

  @param[in] Device   The volume's device.
  @param[in] Entry    The entry.
  @param[in] Program  Its program's image.

  @return What the program returned, which has been printed.
**/
EFI_STATUS
ZppStartEntry (
  IN EFI_HANDLE            Device,
  IN CONST ZPP_CONF_ENTRY  *Entry,
  IN EFI_HANDLE            Program
  )
{
  CHAR16      *Path;
  CHAR16      *CommandLine;
  EFI_STATUS  Status;

  Path = ZppWidenPath (Entry->Path);
  Print (L"zpp: starting %s\n", Path == NULL ? L"" : Path);
  OfferInitrd (Device, Entry->Initrd);
  CommandLine = Entry->CommandLine.Start != NULL ? ZppWiden (Entry->CommandLine) : NULL;
  Status      = ZppStartProgram (
                  Program,
                  CommandLine,
                  CommandLine == NULL ? 0 : (UINT32)StrSize (CommandLine)
                  );
  ZppWithdrawInitrd ();
  Print (L"zpp: %s came back: %r\n", Path == NULL ? L"" : Path, Status);
  if (CommandLine != NULL) {
    FreePool (CommandLine);
  }

  if (Path != NULL) {
    FreePool (Path);
  }

  return Status;
}
