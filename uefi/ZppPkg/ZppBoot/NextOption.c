/** @file
  Goes on with the boot where the firmware would have gone on.
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

STATIC CONST CHAR16  *CONST  mUsualPlaces[] = {
  L"\\EFI\\BOOT\\BOOTX64.EFI",
  L"\\EFI\\Microsoft\\Boot\\bootmgfw.efi",
  L"\\EFI\\debian\\shimx64.efi",
  L"\\EFI\\debian\\grubx64.efi",
  L"\\EFI\\ubuntu\\shimx64.efi",
  L"\\EFI\\fedora\\shimx64.efi",
};

/**
  Reads one of the firmware's variables that hold an option's number.

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
  Tells the operating system which option it was started by.

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
  Tells whether an option is one to boot from.

  @param[in] Option  The option.

  @retval TRUE   It is.
  @retval FALSE  It is inactive, or one of the firmware's own applications. Those are for the
                 firmware to start, and it does when this program returns.
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
  Starts a boot option: the first of the programs it may mean that is there.

  @param[in] ParentImage  This program's image.
  @param[in] Option       The option.

  @retval EFI_NOT_FOUND  No program of this option can be loaded, or it is a copy of this one.
  @retval other          What the program returned.
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
    Print (L"zpp: %s came back: %r\n", Option->Description, Status);
    break;
  }

  if (Previous != NULL) {
    FreePool (Previous);
  }

  return Status == EFI_ALREADY_STARTED ? EFI_NOT_FOUND : Status;
}

/**
  Starts the options of BootOrder: those after this program's own, then those before it.

  @param[in] ParentImage  This program's image.

  @retval EFI_NOT_FOUND  No option leads to a program.
  @retval other          What the last program that was started returned.
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

  // Not in the list (a one-time choice of the user): all of them, from the first.
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
  Starts a loader at one place of one volume.

  @param[in] ParentImage  This program's image.
  @param[in] Volume       The volume.
  @param[in] Path         The loader's path.

  @retval EFI_NOT_FOUND  It cannot be loaded, or it is a copy of this program.
  @retval other          What the loader returned.
**/
STATIC
EFI_STATUS
StartLoader (
  IN EFI_HANDLE    ParentImage,
  IN EFI_HANDLE    Volume,
  IN CONST CHAR16  *Path
  )
{
  EFI_DEVICE_PATH_PROTOCOL  *DevicePath;
  EFI_HANDLE                Program;
  EFI_STATUS                Status;

  DevicePath = FileDevicePath (Volume, Path);
  if (DevicePath == NULL) {
    return EFI_NOT_FOUND;
  }

  Status = ZppLoadProgram (ParentImage, FALSE, DevicePath, &Program);
  FreePool (DevicePath);
  if (EFI_ERROR (Status)) {
    return EFI_NOT_FOUND;
  }

  Print (L"zpp: starting %s of another disk\n", Path);
  Status = ZppStartProgram (Program, NULL, 0);
  Print (L"zpp: %s came back: %r\n", Path, Status);
  return Status == EFI_ALREADY_STARTED ? EFI_NOT_FOUND : Status;
}

/**
  Starts the loaders in the usual places of all volumes, for firmware without options for them.

  @param[in] ParentImage  This program's image.

  @retval EFI_NOT_FOUND  There is none.
  @retval other          What the last loader that was started returned.
**/
STATIC
EFI_STATUS
StartAnyLoader (
  IN EFI_HANDLE  ParentImage
  )
{
  EFI_HANDLE  *Volumes;
  UINTN       Count;
  UINTN       Index;
  UINTN       Place;
  EFI_STATUS  Status;
  EFI_STATUS  LoaderStatus;

  // A quick boot leaves the other disks alone.
  EfiBootManagerConnectAll ();
  Status = gBS->LocateHandleBuffer (ByProtocol, &gEfiSimpleFileSystemProtocolGuid, NULL, &Count, &Volumes);
  if (EFI_ERROR (Status)) {
    return EFI_NOT_FOUND;
  }

  Status = EFI_NOT_FOUND;
  for (Index = 0; Index < Count; Index++) {
    for (Place = 0; Place < ARRAY_SIZE (mUsualPlaces); Place++) {
      LoaderStatus = StartLoader (ParentImage, Volumes[Index], mUsualPlaces[Place]);
      if (LoaderStatus != EFI_NOT_FOUND) {
        Status = LoaderStatus;
      }
    }
  }

  FreePool (Volumes);
  return Status;
}

/**
  Starts the firmware's boot options one after the other: those after this program's own, then
  those before it, then loaders in the usual places of all disks. Comes back only if none stays.

  @param[in] ParentImage  This program's image.

  @retval EFI_NOT_FOUND  There was nothing to start.
  @retval other          What the last program that was started returned.
**/
EFI_STATUS
ZppStartNextOption (
  IN EFI_HANDLE  ParentImage
  )
{
  EFI_STATUS  Status;

  Status = StartBootOrder (ParentImage);
  return Status == EFI_NOT_FOUND ? StartAnyLoader (ParentImage) : Status;
}
