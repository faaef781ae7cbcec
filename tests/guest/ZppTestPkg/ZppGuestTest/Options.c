/** @file
  The command line, which tells the test what to expect: "expect=vtx cpus=4".
**/
#include "Options.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>

#define COMMAND_LINE_MAX  128

typedef struct {
  CONST CHAR16    *Word;
  ZPP_EXPECT      Expect;
} EXPECT_WORD;

STATIC CONST EXPECT_WORD  mExpectWords[] = {
  { L"expect=bare", ExpectBare },
  { L"expect=vtx",  ExpectVtx  },
  { L"expect=amdv", ExpectAmdv },
};

/**
  Parses a word such as "cpus=4".

  @param[in]  Word   The word.
  @param[in]  Name   The prefix to look for.
  @param[out] Value  Its number.

  @retval TRUE   The word has the prefix.
  @retval FALSE  It does not.
**/
STATIC
BOOLEAN
ReadNumber (
  IN  CONST CHAR16  *Word,
  IN  CONST CHAR16  *Name,
  OUT UINTN         *Value
  )
{
  if (StrnCmp (Word, Name, StrLen (Name)) != 0) {
    return FALSE;
  }

  *Value = StrDecimalToUintn (Word + StrLen (Name));
  return TRUE;
}

/**
  Parses one word.

  @param[in]     Word       The word.
  @param[in,out] Options    The options.
  @param[in,out] HasExpect  Set to TRUE by "expect=".

  @retval TRUE   The word is valid.
  @retval FALSE  It is not.
**/
STATIC
BOOLEAN
ReadWord (
  IN     CONST CHAR16  *Word,
  IN OUT ZPP_OPTIONS   *Options,
  IN OUT BOOLEAN       *HasExpect
  )
{
  UINTN  Index;

  for (Index = 0; Index < ARRAY_SIZE (mExpectWords); Index++) {
    if (StrCmp (Word, mExpectWords[Index].Word) == 0) {
      Options->Expect = mExpectWords[Index].Expect;
      *HasExpect      = TRUE;
      return TRUE;
    }
  }

  return ReadNumber (Word, L"cpus=", &Options->Cpus) || ReadNumber (Word, L"rounds=", &Options->Rounds) ||
         ReadNumber (Word, L"x2apic=", &Options->X2Apic) ||
         ReadNumber (Word, L"breakpoints=", &Options->Breakpoints) ||
         ReadNumber (Word, L"visible=", &Options->Visible) ||
         ReadNumber (Word, L"machine-check=", &Options->MachineCheck) ||
         ReadNumber (Word, L"strict-msrs=", &Options->StrictMsrs);
}

EFI_STATUS
ZppReadOptions (
  IN  CONST CHAR16  *LoadOptions OPTIONAL,
  IN  UINTN         LoadOptionsSize,
  OUT ZPP_OPTIONS   *Options
  )
{
  CHAR16   Text[COMMAND_LINE_MAX];
  CHAR16   *Word;
  CHAR16   *End;
  BOOLEAN  HasExpect;
  BOOLEAN  IsLast;

  *Options  = (ZPP_OPTIONS) { .Rounds = 50 };
  HasExpect = FALSE;
  if ((LoadOptions == NULL) || (LoadOptionsSize >= sizeof (Text))) {
    return EFI_INVALID_PARAMETER;
  }

  ZeroMem (Text, sizeof (Text));
  CopyMem (Text, LoadOptions, LoadOptionsSize);
  for (Word = Text, IsLast = FALSE; !IsLast; Word = End + 1) {
    for (End = Word; (*End != L' ') && (*End != L'\0'); End++) {
    }

    IsLast = *End == L'\0';
    *End   = L'\0';
    if ((End != Word) && !ReadWord (Word, Options, &HasExpect)) {
      return EFI_INVALID_PARAMETER;
    }
  }

  return HasExpect ? EFI_SUCCESS : EFI_INVALID_PARAMETER;
}
