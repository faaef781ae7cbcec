/** @file
  The keyboard, and serial terminals.
**/
#include "Keys.h"

#include <Library/BaseLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Protocol/SimpleTextInEx.h>

#define LAST_CONTROL_CHAR  0x1A ///< Ctrl+Z.
#define TIMER_UNITS        10000 ///< Of a timer, in a millisecond.

/**
  Reads a key with the state of Shift, Ctrl and the like.

  @param[out] Key  The key. Its state may be valid even if no key was pressed.

  @retval TRUE   A key was pressed.
  @retval FALSE  None was.
**/
STATIC
BOOLEAN
ReadKeyData (
  OUT EFI_KEY_DATA  *Key
  )
{
  EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL  *Input;

  Key->KeyState.KeyShiftState = 0;
  if (EFI_ERROR (gBS->HandleProtocol (gST->ConsoleInHandle, &gEfiSimpleTextInputExProtocolGuid, (VOID **)&Input))) {
    return !EFI_ERROR (gST->ConIn->ReadKeyStroke (gST->ConIn, &Key->Key));
  }

  return !EFI_ERROR (Input->ReadKeyStrokeEx (Input, Key));
}

/**
  Checks whether Ctrl is held.

  @param[in] Key        A key and its state.
  @param[in] IsPressed  Whether a key was pressed.

  @retval TRUE   It is.
  @retval FALSE  It is not.
**/
STATIC
BOOLEAN
HasControl (
  IN CONST EFI_KEY_DATA  *Key,
  IN BOOLEAN             IsPressed
  )
{
  UINT32  State;
  CHAR16  Char;

  State = Key->KeyState.KeyShiftState;
  if (((State & EFI_SHIFT_STATE_VALID) != 0) && ((State & (EFI_LEFT_CONTROL_PRESSED | EFI_RIGHT_CONTROL_PRESSED)) != 0)) {
    return TRUE;
  }

  // A terminal sends Ctrl only together with a letter.
  Char = Key->Key.UnicodeChar;
  return IsPressed && (Char != 0) && (Char <= LAST_CONTROL_CHAR) && (Char != CHAR_BACKSPACE) && (Char != CHAR_TAB) &&
         (Char != CHAR_LINEFEED) && (Char != CHAR_CARRIAGE_RETURN);
}

ZPP_START
ZppReadStartKey (
  VOID
  )
{
  EFI_KEY_DATA  Key;
  BOOLEAN       IsPressed;

  do {
    IsPressed = ReadKeyData (&Key);
    if ((IsPressed && (Key.Key.ScanCode == SCAN_ESC)) || HasControl (&Key, IsPressed)) {
      return ZppStartWithoutHypervisor;
    }

    if (IsPressed && ((Key.Key.ScanCode != SCAN_NULL) || (Key.Key.UnicodeChar > LAST_CONTROL_CHAR))) {
      return ZppStartMenu;
    }
  } while (IsPressed);

  return ZppStartNormal;
}

BOOLEAN
ZppReadKey (
  OUT EFI_INPUT_KEY  *Key
  )
{
  EFI_KEY_DATA  Data;

  do {
    if (!ReadKeyData (&Data)) {
      return FALSE;
    }

    *Key = Data.Key;
  } while ((Key->ScanCode == SCAN_NULL) && (Key->UnicodeChar == 0)); // Shift or Ctrl alone

  return TRUE;
}

BOOLEAN
ZppWaitForKey (
  IN UINTN  Milliseconds
  )
{
  EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL  *Input;
  EFI_EVENT                          Events[2];
  UINTN                              Index;
  EFI_STATUS                         Status;

  Events[0] = gST->ConIn->WaitForKey;
  if (!EFI_ERROR (gBS->HandleProtocol (gST->ConsoleInHandle, &gEfiSimpleTextInputExProtocolGuid, (VOID **)&Input))) {
    Events[0] = Input->WaitForKeyEx;
  }

  Index = 0;
  if (Milliseconds == 0) {
    return !EFI_ERROR (gBS->WaitForEvent (1, Events, &Index));
  }

  Status = gBS->CreateEvent (EVT_TIMER, TPL_CALLBACK, NULL, NULL, &Events[1]);
  if (EFI_ERROR (Status)) {
    gBS->Stall (Milliseconds * 1000);
    return FALSE;
  }

  Status = gBS->SetTimer (Events[1], TimerRelative, MultU64x32 (Milliseconds, TIMER_UNITS));
  if (!EFI_ERROR (Status)) {
    Status = gBS->WaitForEvent (2, Events, &Index);
  }

  gBS->CloseEvent (Events[1]);
  return !EFI_ERROR (Status) && (Index == 0);
}
