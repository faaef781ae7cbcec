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
ZppTextToNumber (
  ZPP_TEXT  Text,
  uint32_t  Max,
  uint32_t  *Number
  )
{
  unsigned  Base;
  uint64_t  Value;
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
    if (Value > Max) {
      return false;
    }
  }

  *Number = (uint32_t)Value;
  return true;
}

bool
ZppTextToPort (
  ZPP_TEXT  Text,
  uint16_t  *Port
  )
{
  uint32_t  Number;

  if (!ZppTextToNumber (Text, ZPP_SERIAL_PORT_MAX, &Number)) {
    return false;
  }

  *Port = (uint16_t)Number;
  return true;
}

bool
ZppTextTakeLine (
  ZPP_TEXT  *Text,
  ZPP_TEXT  *Line
  )
{
  const char  *Start;
  const char  *End;
  const char  *LineEnd;

  if (Text->Length == 0) {
    return false;
  }

  Start = Text->Start;
  End   = Start + Text->Length;
  for (LineEnd = Start; (LineEnd < End) && (*LineEnd != '\n'); LineEnd++) {
  }

  Text->Start  = LineEnd < End ? LineEnd + 1 : End;
  Text->Length = (size_t)(End - Text->Start);
  if ((LineEnd > Start) && (LineEnd[-1] == '\r')) {
    LineEnd--;
  }

  *Line = ZppTextTrim (Start, LineEnd);
  return true;
}

static char
LowerCase (
  char  Char
  )
{
  return (Char >= 'A') && (Char <= 'Z') ? (char)(Char + ('a' - 'A')) : Char;
}

bool
ZppTextMatches (
  ZPP_TEXT  Text,
  ZPP_TEXT  Pattern
  )
{
  size_t  At;
  size_t  Place;
  size_t  Star;
  size_t  Retry;

  // Star: the place after the last '*'; Retry: where its match may end next.
  Star  = 0;
  Retry = 0;
  Place = 0;
  for (At = 0; At < Text.Length;) {
    if ((Place < Pattern.Length) && (Pattern.Start[Place] == '*')) {
      Star  = ++Place;
      Retry = At;
    } else if ((Place < Pattern.Length) &&
               ((Pattern.Start[Place] == '?') || (LowerCase (Pattern.Start[Place]) == LowerCase (Text.Start[At]))))
    {
      Place++;
      At++;
    } else if (Star != 0) {
      Place = Star;
      At    = ++Retry;
    } else {
      return false;
    }
  }

  while ((Place < Pattern.Length) && (Pattern.Start[Place] == '*')) {
    Place++;
  }

  return Place == Pattern.Length;
}

/**
  Decodes the first character of a text.

  @param[in]  Text  UTF-8, not empty.
  @param[out] Code  The character; U+FFFD if the first byte does not start a valid one.

  @return Its size in bytes.
**/
static size_t
DecodeUtf8 (
  ZPP_TEXT  Text,
  uint32_t  *Code
  )
{
  static const uint32_t  Smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
  uint8_t                First;
  size_t                 Size;
  size_t                 Index;

  First = (uint8_t)Text.Start[0];
  *Code = First;
  if (First < 0x80) {
    return 1;
  }

  Size  = First >= 0xF0 ? 4 : First >= 0xE0 ? 3 : 2;
  *Code = First & (0x7Fu >> Size);
  for (Index = 1; (Index < Size) && (Index < Text.Length) && (((uint8_t)Text.Start[Index] & 0xC0) == 0x80); Index++) {
    *Code = (*Code << 6) | ((uint8_t)Text.Start[Index] & 0x3F);
  }

  if ((First < 0xC0) || (First > 0xF7) || (Index != Size) || (*Code < Smallest[Size]) || (*Code > 0x10FFFF) ||
      ((*Code >= 0xD800) && (*Code <= 0xDFFF)))
  {
    *Code = 0xFFFD;
    return 1;
  }

  return Size;
}

size_t
ZppTextToUtf16 (
  ZPP_TEXT  Text,
  uint16_t  *Wide
  )
{
  size_t    Units;
  size_t    Size;
  uint32_t  Code;

  for (Units = 0; Text.Length != 0; Text.Start += Size, Text.Length -= Size) {
    Size = DecodeUtf8 (Text, &Code);
    if (Code >= 0x10000) {
      Wide[Units++] = (uint16_t)(0xD7C0 + (Code >> 10));
      Code          = 0xDC00 | (Code & 0x3FF);
    }

    Wide[Units++] = (uint16_t)Code;
  }

  return Units;
}
