/** @file
  Ends one boot after the other in the ways that its command line names, such as "ends=chipset,triple".
  It prints the logs that ZppBoot has saved by then; after the last one it turns the machine off.
**/
#include <Uefi.h>

#include "../Common/Verdict.h"
#include "Ends.h"

#include <Guid/FileInfo.h>
#include <Guid/ZppVariables.h>
#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>
#include <Protocol/LoadedImage.h>

#define STEP_VARIABLE  L"ZppLogTestStep"
#define WORD_MAX       32u

/**
  Prints a file.

  @param[in] Folder  Its folder.
  @param[in] Name    Its name.
**/
STATIC
VOID
PrintFile (
  IN EFI_FILE_PROTOCOL  *Folder,
  IN CONST CHAR16       *Name
  )
{
  EFI_FILE_PROTOCOL  *File;
  CHAR8              Line[256];
  UINTN              Size;
  UINTN              Used;

  if (EFI_ERROR (Folder->Open (Folder, &File, (CHAR16 *)Name, EFI_FILE_MODE_READ, 0))) {
    return;
  }

  Used = 0;
  Size = 1;
  while (!EFI_ERROR (File->Read (File, &Size, &Line[Used])) && (Size == 1)) {
    if ((Line[Used] == '\n') || (Used + 2 == sizeof (Line))) {
      Line[Used] = '\0';
      Print (L"LOG: %a\n", Line);
      Used = 0;
    } else {
      Used++;
    }
  }

  File->Close (File);
}

/**
  Prints the names of the files in the folder of logs, and the last log.

  @param[in] Device  The volume's device.
**/
STATIC
VOID
PrintLogs (
  IN EFI_HANDLE  Device
  )
{
  EFI_FILE_PROTOCOL  *Root;
  EFI_FILE_PROTOCOL  *Folder;
  EFI_FILE_INFO      *Info;
  CHAR16             Newest[16];
  UINTN              Size;

  Root = ZppOpenRoot (Device);
  Info = AllocatePool (INFO_SIZE);
  if ((Root == NULL) || (Info == NULL) || EFI_ERROR (Root->Open (Root, &Folder, LOG_FOLDER, EFI_FILE_MODE_READ, 0))) {
    return;
  }

  Newest[0] = L'\0';
  for ( ; ;) {
    Size = INFO_SIZE;
    if (EFI_ERROR (Folder->Read (Folder, &Size, Info)) || (Size == 0)) {
      break;
    }

    if ((Info->Attribute & EFI_FILE_DIRECTORY) != 0) {
      continue;
    }

    Print (L"FILE: %s\n", Info->FileName);
    if ((StrLen (Info->FileName) < 16) && (Info->FileName[0] <= L'9') && (StrCmp (Info->FileName, Newest) > 0)) {
      StrCpyS (Newest, 16, Info->FileName);
    }
  }

  if (Newest[0] != L'\0') {
    PrintFile (Folder, Newest);
  }
}

/**
  Counts the boots.

  @return 0 for the first one.
**/
STATIC
UINT8
NextStep (
  VOID
  )
{
  UINT8  Step;
  UINT8  Next;
  UINTN  Size;

  Size = sizeof (Step);
  if (EFI_ERROR (gRT->GetVariable (STEP_VARIABLE, &gZppVariableGuid, NULL, &Size, &Step))) {
    Step = 0;
  }

  Next = Step + 1;
  gRT->SetVariable (STEP_VARIABLE, &gZppVariableGuid, ZPP_LOG_RECORD_ATTRIBUTES, sizeof (Next), &Next);
  return Step;
}

/**
  Finds a word in the list of the command line.

  @param[in]  Options  The command line.
  @param[in]  Step     The word's number in the list.
  @param[out] Word     The word.

  @retval TRUE   The list has it.
  @retval FALSE  The list ends before.
**/
STATIC
BOOLEAN
FindWord (
  IN  CONST CHAR16  *Options,
  IN  UINT8         Step,
  OUT CHAR16        Word[WORD_MAX]
  )
{
  UINTN  Length;

  Options = StrStr (Options, L"ends=");
  if (Options == NULL) {
    return FALSE;
  }

  for (Options += StrLen (L"ends="); Step != 0; Step--) {
    Options = StrStr (Options, L",");
    if (Options == NULL) {
      return FALSE;
    }

    Options++;
  }

  for (Length = 0; (Options[Length] != L',') && (Options[Length] != L'\0') && (Length < WORD_MAX - 1); Length++) {
    Word[Length] = Options[Length];
  }

  Word[Length] = L'\0';
  return TRUE;
}

/**
  The program's entry point.

  @param[in] ImageHandle  This program's image.
  @param[in] SystemTable  The system table.

  @retval EFI_ABORTED  The machine could not be turned off.
**/
EFI_STATUS
EFIAPI
ZppLogTestEntryPoint (
  IN EFI_HANDLE        ImageHandle,
  IN EFI_SYSTEM_TABLE  *SystemTable
  )
{
  EFI_LOADED_IMAGE_PROTOCOL  *Image;
  CHAR16                     Word[WORD_MAX];
  EFI_STATUS                 Status;
  UINT8                      Step;

  Status = gBS->HandleProtocol (ImageHandle, &gEfiLoadedImageProtocolGuid, (VOID **)&Image);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  PrintLogs (Image->DeviceHandle);
  Step = NextStep ();
  if (FindWord (Image->LoadOptions, Step, Word)) {
    Print (L"ZPP-LOG: boot %d ends by: %s\n", Step, Word);
    ZppEndBy (Image->DeviceHandle, Word);
  }

  Print (L"ZPP-LOG: done\n");
  ZppPowerOff ();
  return EFI_ABORTED;
}
