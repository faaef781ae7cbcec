/** @file
  Loader entries as in the Boot Loader Specification (UAPI.1): the text of type #1, and file names.
**/
#include "Bls.h"

/**
  Splits a line into its first word and the rest.

  @param[in]  Line   The line, without blanks around it.
  @param[out] Key    The first word.
  @param[out] Value  The rest, without blanks around it.
**/
static void
SplitLine (
  ZPP_TEXT  Line,
  ZPP_TEXT  *Key,
  ZPP_TEXT  *Value
  )
{
  const char  *End;
  const char  *KeyEnd;

  End = Line.Start + Line.Length;
  for (KeyEnd = Line.Start; (KeyEnd < End) && (*KeyEnd != ' ') && (*KeyEnd != '\t'); KeyEnd++) {
  }

  *Key   = (ZPP_TEXT) { Line.Start, (size_t)(KeyEnd - Line.Start) };
  *Value = ZppTextTrim (KeyEnd, End);
}

ZPP_BLS_RESULT
ZppBlsParse (
  ZPP_TEXT  Text,
  ZPP_BLS   *Entry
  )
{
  static const ZPP_TEXT  X64 = { "x64", 3 };
  ZPP_TEXT               Line;
  ZPP_TEXT               Key;
  ZPP_TEXT               Value;
  bool                   OtherMachine;

  *Entry       = (ZPP_BLS) { 0 };
  OtherMachine = false;
  while (ZppTextTakeLine (&Text, &Line)) {
    SplitLine (Line, &Key, &Value);
    if (Value.Length == 0) {
      continue;
    }

    if (ZppTextIs (Key, "title")) {
      Entry->Title = Value;
    } else if (ZppTextIs (Key, "version")) {
      Entry->Version = Value;
    } else if (ZppTextIs (Key, "machine-id")) {
      Entry->MachineId = Value;
    } else if (ZppTextIs (Key, "sort-key")) {
      Entry->SortKey = Value;
    } else if (ZppTextIs (Key, "linux") || ZppTextIs (Key, "efi") || ZppTextIs (Key, "uki")) {
      Entry->Program = Value;
    } else if (ZppTextIs (Key, "architecture")) {
      OtherMachine = !ZppTextMatches (Value, X64);
    }
  }

  if (OtherMachine) {
    return ZppBlsOtherMachine;
  }

  return Entry->Program.Start == NULL ? ZppBlsNoProgram : ZppBlsValid;
}

bool
ZppBlsNext (
  ZPP_TEXT    *Text,
  const char  *Key,
  ZPP_TEXT    *Value
  )
{
  ZPP_TEXT  Line;
  ZPP_TEXT  Word;

  while (ZppTextTakeLine (Text, &Line)) {
    SplitLine (Line, &Word, Value);
    if (ZppTextIs (Word, Key) && (Value->Length != 0)) {
      return true;
    }
  }

  return false;
}

/**
  Takes a decimal number from the end of a text.

  @param[in,out] Text    The text; on success what precedes the number and its sign.
  @param[in]     Sign    The character before the number.
  @param[out]    Number  The number.

  @retval true   The text ends with Sign and a number.
  @retval false  It does not.
**/
static bool
TakeNumber (
  ZPP_TEXT  *Text,
  char      Sign,
  uint32_t  *Number
  )
{
  size_t    Start;
  ZPP_TEXT  Digits;

  for (Start = Text->Length; (Start > 0) && (Text->Start[Start - 1] >= '0') && (Text->Start[Start - 1] <= '9'); Start--) {
  }

  Digits = (ZPP_TEXT) { Text->Start + Start, Text->Length - Start };
  if ((Start == 0) || (Text->Start[Start - 1] != Sign) || !ZppTextToNumber (Digits, UINT32_MAX, Number)) {
    return false;
  }

  Text->Length = Start - 1;
  return true;
}

bool
ZppBlsSplitName (
  ZPP_TEXT      Name,
  const char    *Suffix,
  ZPP_BLS_NAME  *Parts
  )
{
  ZPP_TEXT  Ending;
  ZPP_TEXT  Stem;

  *Parts = (ZPP_BLS_NAME) { 0 };
  for (Ending = (ZPP_TEXT) { Suffix, 0 }; Suffix[Ending.Length] != '\0'; Ending.Length++) {
  }

  if (Name.Length <= Ending.Length) {
    return false;
  }

  Parts->Stem   = (ZPP_TEXT) { Name.Start, Name.Length - Ending.Length };
  Parts->Suffix = (ZPP_TEXT) { Name.Start + Parts->Stem.Length, Ending.Length };
  if (!ZppTextMatches (Parts->Suffix, Ending)) {
    return false;
  }

  Stem = Parts->Stem;
  if (!TakeNumber (&Stem, '-', &Parts->Done)) {
    Parts->Done = 0;
  }

  Parts->Counted = TakeNumber (&Stem, '+', &Parts->Left) && (Stem.Length != 0);
  if (Parts->Counted) {
    Parts->Stem = Stem;
  } else {
    Parts->Left = 0;
    Parts->Done = 0;
  }

  return true;
}

/**
  Appends a text to a string.

  @param[in] End   Where the string ends.
  @param[in] Text  The text.

  @return Where it ends now.
**/
static char *
AppendText (
  char      *End,
  ZPP_TEXT  Text
  )
{
  size_t  Index;

  for (Index = 0; Index < Text.Length; Index++) {
    *End++ = Text.Start[Index];
  }

  return End;
}

/**
  Appends a sign and a decimal number to a string.

  @param[in] End     Where the string ends.
  @param[in] Sign    The sign.
  @param[in] Number  The number.

  @return Where it ends now.
**/
static char *
AppendNumber (
  char      *End,
  char      Sign,
  uint32_t  Number
  )
{
  char      Digits[10];
  unsigned  Count;

  Count = 0;
  do {
    Digits[Count++] = (char)('0' + Number % 10);
    Number         /= 10;
  } while (Number != 0);

  *End++ = Sign;
  while (Count > 0) {
    *End++ = Digits[--Count];
  }

  return End;
}

void
ZppBlsNextName (
  const ZPP_BLS_NAME  *Parts,
  char                *Name
  )
{
  char  *End;

  End  = AppendText (Name, Parts->Stem);
  End  = AppendNumber (End, '+', Parts->Left - 1);
  End  = AppendNumber (End, '-', Parts->Done < UINT32_MAX ? Parts->Done + 1 : Parts->Done);
  End  = AppendText (End, Parts->Suffix);
  *End = '\0';
}
