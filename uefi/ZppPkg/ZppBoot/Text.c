/** @file
  Pieces of a text, and the values they stand for.
**/
#include "Text.h"

#include <zpp/boot_info.h>

static bool
IsBlank (
  char  Char
  )
{
  return (Char == ' ') || (Char == '\t');
}

ZPP_TEXT
ZppTextTrim (
  const char  *Start,
  const char  *End
  )
{
  while ((Start < End) && IsBlank (*Start)) {
    Start++;
  }

  while ((Start < End) && IsBlank (End[-1])) {
    End--;
  }

  return (ZPP_TEXT) { Start, (size_t)(End - Start) };
}

bool
ZppTextIs (
  ZPP_TEXT    Text,
  const char  *String
  )
{
  size_t  Index;

  for (Index = 0; Index < Text.Length; Index++) {
    if ((String[Index] == '\0') || (Text.Start[Index] != String[Index])) {
      return false;
    }
  }

  return String[Index] == '\0';
}

bool
ZppTextEquals (
  ZPP_TEXT  A,
  ZPP_TEXT  B
  )
{
  size_t  Index;

  if (A.Length != B.Length) {
    return false;
  }

  for (Index = 0; Index < A.Length; Index++) {
    if (A.Start[Index] != B.Start[Index]) {
      return false;
    }
  }

  return true;
}

bool
ZppTextIsPrintable (
  ZPP_TEXT  Text
  )
{
  size_t  Index;

  for (Index = 0; Index < Text.Length; Index++) {
    if (((Text.Start[Index] < ' ') || (Text.Start[Index] > '~')) && (Text.Start[Index] != '\t')) {
      return false;
    }
  }

  return true;
}

/**
  The value of a hexadecimal digit.

  @param[in] Char  The character.

  @return 0 to 15, or 16 if the character is not a digit.
**/
static unsigned
DigitValue (
  char  Char
  )
{
  if ((Char >= '0') && (Char <= '9')) {
    return (unsigned)(Char - '0');
  }

  if ((Char >= 'a') && (Char <= 'f')) {
    return (unsigned)(Char - 'a') + 10;
  }

  if ((Char >= 'A') && (Char <= 'F')) {
    return (unsigned)(Char - 'A') + 10;
  }

  return 16;
}

bool
ZppTextToPort (
  ZPP_TEXT  Text,
  uint16_t  *Port
  )
{
  unsigned  Base;
  uint32_t  Value;
  size_t    Index;

  Base  = 10;
  Index = 0;
  if ((Text.Length > 2) && (Text.Start[0] == '0') && ((Text.Start[1] | 0x20) == 'x')) {
    Base  = 16;
    Index = 2;
  }

  if (Index == Text.Length) {
    return false;
  }

  for (Value = 0; Index < Text.Length; Index++) {
    if (DigitValue (Text.Start[Index]) >= Base) {
      return false;
    }

    Value = Value * Base + DigitValue (Text.Start[Index]);
    if (Value > ZPP_SERIAL_PORT_MAX) {
      return false;
    }
  }

  *Port = (uint16_t)Value;
  return true;
}
