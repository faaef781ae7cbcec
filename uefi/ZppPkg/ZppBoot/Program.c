/** @file
  Starts EFI programs: operating systems and their loaders.
**/
#include "Program.h"

#include <Library/BaseLib.h>
#include <Library/DevicePathLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Protocol/LoadedImage.h>

/**
  Checks whether two device paths name the same file. Ignores case.

  @param[in] A  The path of one file, without its device.
  @param[in] B  The path of the other.

  @retval TRUE   They do.
  @retval FALSE  They do not.
**/
STATIC
BOOLEAN
IsSameFile (
  IN CONST EFI_DEVICE_PATH_PROTOCOL  *A,
  IN CONST EFI_DEVICE_PATH_PROTOCOL  *B
  )
{
  CHAR16   *TextA;
  CHAR16   *TextB;
  BOOLEAN  Same;
  UINTN    Index;

  TextA = ConvertDevicePathToText (A, FALSE, FALSE);
  TextB = ConvertDevicePathToText (B, FALSE, FALSE);
  Same  = (TextA != NULL) && (TextB != NULL);
  for (Index = 0; Same; Index++) {
    Same = CharToUpper (TextA[Index]) == CharToUpper (TextB[Index]);
    if (TextA[Index] == L'\0') {
      break;
    }
  }

  if (TextA != NULL) {
    FreePool (TextA);
  }

  if (TextB != NULL) {
    FreePool (TextB);
  }

  return Same;
}

/**
  Checks whether two images were loaded from the same file.

  @param[in] A  One image.
  @param[in] B  The other.

  @retval TRUE   They do.
  @retval FALSE  They do not.
**/
STATIC
BOOLEAN
IsSameProgram (
  IN EFI_HANDLE  A,
  IN EFI_HANDLE  B
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *ImageA;
  EFI_LOADED_IMAGE_PROTOCOL  *ImageB;

  if (EFI_ERROR (gBS->HandleProtocol (A, &gEfiLoadedImageProtocolGuid, (VOID **)&ImageA)) ||
      EFI_ERROR (gBS->HandleProtocol (B, &gEfiLoadedImageProtocolGuid, (VOID **)&ImageB)))
  {
    return FALSE;
  }

  return (ImageA->DeviceHandle == ImageB->DeviceHandle) && (ImageA->FilePath != NULL) && (ImageB->FilePath != NULL) &&
         IsSameFile (ImageA->FilePath, ImageB->FilePath);
}

EFI_STATUS
ZppLoadProgram (
  IN  EFI_HANDLE                ParentImage,
  IN  BOOLEAN                   BootPolicy,
  IN  EFI_DEVICE_PATH_PROTOCOL  *DevicePath,
  OUT EFI_HANDLE                *Program
  )
{
  EFI_STATUS  Status;

  *Program = NULL;
  Status   = gBS->LoadImage (BootPolicy, ParentImage, DevicePath, NULL, 0, Program);
  if (!EFI_ERROR (Status) && IsSameProgram (ParentImage, *Program)) {
    Status = EFI_ALREADY_STARTED;
  }

  // After EFI_SECURITY_VIOLATION the image is loaded but must not be started.
  if (EFI_ERROR (Status) && (*Program != NULL)) {
    gBS->UnloadImage (*Program);
  }

  return Status;
}

EFI_STATUS
ZppLoadFile (
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

EFI_STATUS
ZppStartProgram (
  IN EFI_HANDLE  Program,
  IN VOID        *LoadOptions OPTIONAL,
  IN UINT32      LoadOptionsSize
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *Image;
  EFI_STATUS                 Status;
  CHAR16                     *ExitData;
  UINTN                      ExitDataSize;

  Status = gBS->HandleProtocol (Program, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Image->LoadOptions     = LoadOptions;
  Image->LoadOptionsSize = LoadOptionsSize;

  ExitData = NULL;
  Status   = gBS->StartImage (Program, &ExitDataSize, &ExitData);
  if (ExitData != NULL) {
    Print (L"%s\n", ExitData);
    FreePool (ExitData);
  }

  return Status;
}
