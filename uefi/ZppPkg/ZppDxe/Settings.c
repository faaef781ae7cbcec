/** @file
  The user's settings for the hypervisor.
**/
#include "Settings.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/PcdLib.h>

#include <zpp/boot_info.h>

#define LOAD_OPTIONS_MAX  256

/**
  Parses a word as a number, decimal or 0x-prefixed hexadecimal.

  @param[in]  Text   The word; ends at a blank or at the end of the string.
  @param[out] Value  The number.

  @retval EFI_SUCCESS            The word is a number.
  @retval EFI_INVALID_PARAMETER  It is not.
**/
STATIC
EFI_STATUS
ReadNumber (
  IN  CONST CHAR16  *Text,
  OUT UINT64        *Value
  )
{
  CHAR16         *End;
  RETURN_STATUS  Status;

  if ((Text[0] == L'0') && ((Text[1] == L'x') || (Text[1] == L'X'))) {
    Status = StrHexToUint64S (Text, &End, Value);
  } else {
    Status = StrDecimalToUint64S (Text, &End, Value);
  }

  if (RETURN_ERROR (Status) || (End == Text) || ((*End != L'\0') && (*End != L' '))) {
    return EFI_INVALID_PARAMETER;
  }

  return EFI_SUCCESS;
}

/**
  Finds the value of a setting: the text right after Name in Text.

  @param[in] Text  The load options.
  @param[in] Name  The setting's name with its '='.

  @return The value, or NULL if the setting is absent.
**/
STATIC
CONST CHAR16 *
FindValue (
  IN CONST CHAR16  *Text,
  IN CONST CHAR16  *Name
  )
{
  CONST CHAR16  *Found;

  Found = StrStr (Text, Name);
  while ((Found != NULL) && (Found != Text) && (Found[-1] != L' ')) {
    Found = StrStr (Found + 1, Name);
  }

  return Found == NULL ? NULL : Found + StrLen (Name);
}

/**
  Finds a setting and parses its number.

  @param[in]     Text   The load options.
  @param[in]     Name   The setting's name with its '='.
  @param[in]     Max    The largest valid number.
  @param[in,out] Value  The number; unchanged if the setting is absent.

  @retval EFI_SUCCESS            Value is valid.
  @retval EFI_INVALID_PARAMETER  The setting's value is not a number up to Max.
**/
STATIC
EFI_STATUS
ReadSetting (
  IN     CONST CHAR16  *Text,
  IN     CONST CHAR16  *Name,
  IN     UINT64        Max,
  IN OUT UINT64        *Value
  )
{
  CONST CHAR16  *Found;
  UINT64        Number;

  Found = FindValue (Text, Name);
  if (Found == NULL) {
    return EFI_SUCCESS;
  }

  if (EFI_ERROR (ReadNumber (Found, &Number)) || (Number > Max)) {
    return EFI_INVALID_PARAMETER;
  }

  *Value = Number;
  return EFI_SUCCESS;
}

EFI_STATUS
ZppReadSettings (
  IN  CONST VOID    *LoadOptions OPTIONAL,
  IN  UINTN         LoadOptionsSize,
  OUT ZPP_SETTINGS  *Settings
  )
{
  CHAR16  Text[LOAD_OPTIONS_MAX];
  UINTN   Length;
  UINT64  Port;
  UINT64  Visible;
  UINT64  ResetAfter;
  UINT64  TracePort;

  Settings->SerialPort      = FixedPcdGet16 (PcdZppSerialPort);
  Settings->WaitForDebugger = FixedPcdGetBool (PcdZppWaitForDebugger);
  Settings->Visible         = FALSE;
  Settings->ResetAfter      = ZPP_RESET_AFTER_DEFAULT;
  Settings->TracePort       = 0;

  if ((LoadOptions == NULL) || (LoadOptionsSize >= sizeof (Text))) {
    return EFI_SUCCESS;
  }

  // Load options may be unaligned and lack a terminating zero.
  Length = LoadOptionsSize / sizeof (CHAR16);
  CopyMem (Text, LoadOptions, Length * sizeof (CHAR16));
  Text[Length] = L'\0';

  Port       = Settings->SerialPort;
  Visible    = Settings->Visible;
  ResetAfter = Settings->ResetAfter;
  TracePort  = Settings->TracePort;
  if (EFI_ERROR (ReadSetting (Text, L"serial=", ZPP_SERIAL_PORT_MAX, &Port)) ||
      EFI_ERROR (ReadSetting (Text, L"visible=", 1, &Visible)) ||
      EFI_ERROR (ReadSetting (Text, L"reset-after=", ZPP_RESET_AFTER_MAX, &ResetAfter)) ||
      EFI_ERROR (ReadSetting (Text, L"trace=", ZPP_TRACE_PORT_MAX, &TracePort)))
  {
    return EFI_INVALID_PARAMETER;
  }

  Settings->SerialPort = (UINT16)Port;
  Settings->Visible    = (BOOLEAN)Visible;
  Settings->ResetAfter = (UINT16)ResetAfter;
  Settings->TracePort  = (UINT16)TracePort;
  return EFI_SUCCESS;
}
