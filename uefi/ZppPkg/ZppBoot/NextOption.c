/** @file
  Continues the boot with the firmware's next boot option.
**/
#include "NextOption.h"
#include "Program.h"

#include <Guid/GlobalVariable.h>
#include <Library/BaseLib.h>
#include <Library/DevicePathLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootManagerLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>
#include <Protocol/SimpleFileSystem.h>

STATIC CONST CHAR16  *CONST  mLoaderPaths[] = {
  L"\\EFI\\BOOT\\BOOTX64.EFI",
  L"\\EFI\\Microsoft\\Boot\\bootmgfw.efi",
  L"\\EFI\\debian\\shimx64.efi",
  L"\\EFI\\debian\\grubx64.efi",
  L"\\EFI\\ubuntu\\shimx64.efi",
  L"\\EFI\\fedora\\shimx64.efi",
};

/**
  Reads a variable of the firmware that contains an option's number.

  @param[in]  Name    The variable's name.
  @param[out] Number  Its value.

  @retval TRUE   The variable exists.
  @retval FALSE  It does not.
**/
STATIC
BOOLEAN
GetOptionNumber (
  IN  CHAR16  *Name,
  OUT UINT16  *Number
  )
{
  UINTN  Size;

  Size = sizeof (*Number);
  return !EFI_ERROR (gRT->GetVariable (Name, &gEfiGlobalVariableGuid, NULL, &Size, Number)) && (Size == sizeof (*Number));
}

/**
  Sets BootCurrent, from which the operating system learns which option started it.

  @param[in] OptionNumber  The option's number.
**/
STATIC
VOID
SetBootCurrent (
  IN UINTN  OptionNumber
  )
{
  UINT16  Number;

  Number = (UINT16)OptionNumber;
  gRT->SetVariable (
         EFI_BOOT_CURRENT_VARIABLE_NAME,
         &gEfiGlobalVariableGuid,
         EFI_VARIABLE_BOOTSERVICE_ACCESS | EFI_VARIABLE_RUNTIME_ACCESS,
         sizeof (Number),
         &Number
         );
}

/**
  Checks whether an option can be booted.

  @param[in] Option  The option.

  @retval TRUE   It can.
  @retval FALSE  It is inactive, or an application of the firmware, which the firmware starts itself
                 when this program returns.
**/
STATIC
BOOLEAN
IsBootable (
  IN CONST EFI_BOOT_MANAGER_LOAD_OPTION  *Option
  )
{
  return ((Option->Attributes & LOAD_OPTION_ACTIVE) != 0) &&
         ((Option->Attributes & LOAD_OPTION_CATEGORY) == LOAD_OPTION_CATEGORY_BOOT) &&
         !((DevicePathType (Option->FilePath) == MEDIA_DEVICE_PATH) &&
           (DevicePathSubType (Option->FilePath) == MEDIA_PIWG_FW_VOL_DP));
}

/**
  Starts a boot option: the first program that its device path resolves to.

  @param[in] ParentImage  This program's image.
  @param[in] Option       The option.

  @retval EFI_NOT_FOUND  No program of this option can be loaded, or it is a copy of this program.
  @retval other          The program's exit status.
**/
STATIC
EFI_STATUS
StartOption (
  IN EFI_HANDLE                          ParentImage,
  IN CONST EFI_BOOT_MANAGER_LOAD_OPTION  *Option
  )
{
  EFI_DEVICE_PATH_PROTOCOL  *Full;
  EFI_DEVICE_PATH_PROTOCOL  *Previous;
  EFI_HANDLE                Program;
  EFI_STATUS                Status;

  EfiBootManagerConnectDevicePath (Option->FilePath, NULL);
  Status   = EFI_NOT_FOUND;
  Previous = NULL;
  while ((Full = EfiBootManagerGetNextLoadOptionDevicePath (Option->FilePath, Previous)) != NULL) {
    if (Previous != NULL) {
      FreePool (Previous);
    }

    Previous = Full;
    if (EFI_ERROR (ZppLoadProgram (ParentImage, TRUE, Full, &Program))) {
      continue;
    }

    Print (L"zpp: starting the firmware's next boot option %s\n", Option->Description);
    SetBootCurrent (Option->OptionNumber);
    Status = ZppStartProgram (Program, Option->OptionalData, Option->OptionalDataSize);
    Print (L"zpp: %s returned: %r\n", Option->Description, Status);
    break;
  }

  if (Previous != NULL) {
    FreePool (Previous);
  }

  return Status == EFI_ALREADY_STARTED ? EFI_NOT_FOUND : Status;
}

/**
  Starts the options of BootOrder: those after the current one, then those before it.

  @param[in] ParentImage  This program's image.

  @retval EFI_NOT_FOUND  No option can be started.
  @retval other          The exit status of the last program started.
**/
STATIC
EFI_STATUS
StartBootOrder (
  IN EFI_HANDLE  ParentImage
  )
{
  EFI_BOOT_MANAGER_LOAD_OPTION  *Options;
  UINTN                         Count;
  UINTN                         First;
  UINTN                         Index;
  UINT16                        Current;
  BOOLEAN                       HasCurrent;
  EFI_STATUS                    Status;
  EFI_STATUS                    OptionStatus;

  Options = EfiBootManagerGetLoadOptions (&Count, LoadOptionTypeBoot);

  // If the current option is not in the list (a one-time choice), start at the first.
  First      = 0;
  HasCurrent = GetOptionNumber (EFI_BOOT_CURRENT_VARIABLE_NAME, &Current);
  for (Index = 0; HasCurrent && (Index < Count); Index++) {
    if (Options[Index].OptionNumber == Current) {
      First = Index + 1;
    }
  }

  Status = EFI_NOT_FOUND;
  for (Index = 0; Index < Count; Index++) {
    if (!IsBootable (&Options[(First + Index) % Count])) {
      continue;
    }

    OptionStatus = StartOption (ParentImage, &Options[(First + Index) % Count]);
    if (OptionStatus != EFI_NOT_FOUND) {
      Status = OptionStatus;
    }
  }

  EfiBootManagerFreeLoadOptions (Options, Count);
  if (HasCurrent) {
    SetBootCurrent (Current);
  }

  return Status;
}

/**
  Starts a boot loader from a volume.

  @param[in] ParentImage  This program's image.
  @param[in] Volume       The volume.
  @param[in] Path         The loader's path.

  @retval EFI_NOT_FOUND  It cannot be loaded, or it is a copy of this program.
  @retval other          The loader's exit status.
**/
STATIC
EFI_STATUS
StartLoader (
  IN EFI_HANDLE    ParentImage,
  IN EFI_HANDLE    Volume,
  IN CONST CHAR16  *Path
  )
{
  EFI_HANDLE  Program;
  EFI_STATUS  Status;

  if (EFI_ERROR (ZppLoadFile (ParentImage, Volume, Path, &Program))) {
    return EFI_NOT_FOUND;
  }

  Print (L"zpp: starting %s from another disk\n", Path);
  Status = ZppStartProgram (Program, NULL, 0);
  Print (L"zpp: %s returned: %r\n", Path, Status);
  return Status == EFI_ALREADY_STARTED ? EFI_NOT_FOUND : Status;
}

/**
  Starts the boot loaders at the usual paths of all volumes, for firmware without options for them.

  @param[in] ParentImage  This program's image.

  @retval EFI_NOT_FOUND  There is none.
  @retval other          The exit status of the last loader started.
**/
STATIC
EFI_STATUS
StartLoaders (
  IN EFI_HANDLE  ParentImage
  )
{
  EFI_HANDLE  *Volumes;
  UINTN       Count;
  UINTN       Index;
  UINTN       Path;
  EFI_STATUS  Status;
  EFI_STATUS  LoaderStatus;

  // With fast boot the firmware connects only the disk it boots from.
  EfiBootManagerConnectAll ();
  Status = gBS->LocateHandleBuffer (ByProtocol, &gEfiSimpleFileSystemProtocolGuid, NULL, &Count, &Volumes);
  if (EFI_ERROR (Status)) {
    return EFI_NOT_FOUND;
  }

  Status = EFI_NOT_FOUND;
  for (Index = 0; Index < Count; Index++) {
    for (Path = 0; Path < ARRAY_SIZE (mLoaderPaths); Path++) {
      LoaderStatus = StartLoader (ParentImage, Volumes[Index], mLoaderPaths[Path]);
      if (LoaderStatus != EFI_NOT_FOUND) {
        Status = LoaderStatus;
      }
    }
  }

  FreePool (Volumes);
  return Status;
}

EFI_STATUS
ZppStartNextOption (
  IN EFI_HANDLE  ParentImage
  )
{
  EFI_STATUS  Status;

  Status = StartBootOrder (ParentImage);
  return Status == EFI_NOT_FOUND ? StartLoaders (ParentImage) : Status;
}
