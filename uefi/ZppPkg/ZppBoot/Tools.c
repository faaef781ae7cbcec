/** @file
  What the menu offers besides booting.
**/
#include "Tools.h"
#include "Diagnose.h"

#include <Guid/GlobalVariable.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

/**
  Reads a 64-bit variable of the firmware.

  @param[in] Name  The variable's name.

  @return Its value; 0 if it does not exist.
**/
STATIC
UINT64
ReadIndications (
  IN CHAR16  *Name
  )
{
  UINT64  Value;
  UINTN   Size;

  Value = 0;
  Size  = sizeof (Value);
  return EFI_ERROR (gRT->GetVariable (Name, &gEfiGlobalVariableGuid, NULL, &Size, &Value)) ? 0 : Value;
}

/**
  Checks whether the firmware can be asked to open its setup.

  @retval TRUE   It can.
  @retval FALSE  It cannot.
**/
STATIC
BOOLEAN
HasSetup (
  VOID
  )
{
  return (ReadIndications (EFI_OS_INDICATIONS_SUPPORT_VARIABLE_NAME) & EFI_OS_INDICATIONS_BOOT_TO_FW_UI) != 0;
}

/**
  Restarts into the firmware's setup.

  @param[in] ImageHandle  Not used.
  @param[in] Device       Not used.
**/
STATIC
VOID
OpenSetup (
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  )
{
  EFI_STATUS  Status;
  UINT64      Indications;

  Indications = ReadIndications (EFI_OS_INDICATIONS_VARIABLE_NAME) | EFI_OS_INDICATIONS_BOOT_TO_FW_UI;
  Status      = gRT->SetVariable (
                       EFI_OS_INDICATIONS_VARIABLE_NAME,
                       &gEfiGlobalVariableGuid,
                       EFI_VARIABLE_NON_VOLATILE | EFI_VARIABLE_BOOTSERVICE_ACCESS | EFI_VARIABLE_RUNTIME_ACCESS,
                       sizeof (Indications),
                       &Indications
                       );
  if (EFI_ERROR (Status)) {
    Print (L"zpp: cannot ask the firmware to open its setup: %r\n", Status);
    return;
  }

  gRT->ResetSystem (EfiResetCold, EFI_SUCCESS, 0, NULL);
}

/**
  Restarts the machine.

  @param[in] ImageHandle  Not used.
  @param[in] Device       Not used.
**/
STATIC
VOID
Restart (
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  )
{
  gRT->ResetSystem (EfiResetCold, EFI_SUCCESS, 0, NULL);
}

/**
  Turns the machine off.

  @param[in] ImageHandle  Not used.
  @param[in] Device       Not used.
**/
STATIC
VOID
PowerOff (
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  )
{
  gRT->ResetSystem (EfiResetShutdown, EFI_SUCCESS, 0, NULL);
}

// In the order of the menu. A new tool is a line here.
STATIC CONST ZPP_TOOL  mTools[] = {
  { L"Diagnose this machine", NULL, ZppDiagnose },
  { L"Firmware setup", HasSetup, OpenSetup },
  { L"Restart",        NULL,     Restart   },
  { L"Power off",      NULL,     PowerOff  },
};

UINTN
ZppToolCount (
  VOID
  )
{
  UINTN  Index;
  UINTN  Count;

  for (Index = 0, Count = 0; Index < ARRAY_SIZE (mTools); Index++) {
    Count += (mTools[Index].IsAvailable == NULL) || mTools[Index].IsAvailable ();
  }

  return Count;
}

CONST ZPP_TOOL *
ZppGetTool (
  IN UINTN  Index
  )
{
  CONST ZPP_TOOL  *Tool;

  for (Tool = mTools; ; Tool++) {
    if ((Tool->IsAvailable == NULL) || Tool->IsAvailable ()) {
      if (Index == 0) {
        return Tool;
      }

      Index--;
    }
  }
}
