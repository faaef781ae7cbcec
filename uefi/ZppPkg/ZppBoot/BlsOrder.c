/** @file
  The order of loader entries, and of versions.
**/
#include "Bls.h"

static bool
IsDigit (
  char  Char
  )
{
  return (Char >= '0') && (Char <= '9');
}

static bool
IsLetter (
  char  Char
  )
{
  return ((Char >= 'a') && (Char <= 'z')) || ((Char >= 'A') && (Char <= 'Z'));
}

/**
  The first character of a text.

  @param[in] Text  The text.

  @return The character; a zero byte if the text is empty.
**/
static char
First (
  ZPP_TEXT  Text
  )
{
  return Text.Length == 0 ? '\0' : Text.Start[0];
}

static void
Skip (
  ZPP_TEXT  *Text
  )
{
  Text->Start++;
  Text->Length--;
}

/**
  Skips the characters that only separate parts of a version.

  @param[in,out] Text  The rest of the version.
**/
static void
SkipSeparators (
  ZPP_TEXT  *Text
  )
{
  char  Char;

  while (Text->Length != 0) {
    Char = First (*Text);
    if (IsDigit (Char) || IsLetter (Char) || (Char == '~') || (Char == '-') || (Char == '^') || (Char == '.')) {
      break;
    }

    Skip (Text);
  }
}

/**
  Compares the digits that two versions start with, by their value, and skips them.

  @param[in,out] A  The rest of one version.
  @param[in,out] B  The rest of the other.

  @return Negative if A's number is smaller, positive if B's is, 0 if they are equal.
**/
static int
CompareNumbers (
  ZPP_TEXT  *A,
  ZPP_TEXT  *B
  )
{
  int  Difference;

  while (First (*A) == '0') {
    Skip (A);
  }

  while (First (*B) == '0') {
    Skip (B);
  }

  // The first digit that differs decides, unless one number has more digits.
  Difference = 0;
  while (IsDigit (First (*A)) && IsDigit (First (*B))) {
    if (Difference == 0) {
      Difference = First (*A) - First (*B);
    }

    Skip (A);
    Skip (B);
  }

  if (IsDigit (First (*A)) != IsDigit (First (*B))) {
    return IsDigit (First (*A)) ? 1 : -1;
  }

  return Difference;
}

/**
  Compares the letters that two versions start with, and skips them.

  @param[in,out] A  The rest of one version.
  @param[in,out] B  The rest of the other.

  @return Negative if A's letters come first, positive if B's do, 0 if they are equal.
**/
static int
CompareLetters (
  ZPP_TEXT  *A,
  ZPP_TEXT  *B
  )
{
  while (IsLetter (First (*A)) && IsLetter (First (*B))) {
    if (First (*A) != First (*B)) {
      return First (*A) - First (*B);
    }

    Skip (A);
    Skip (B);
  }

  return IsLetter (First (*A)) - IsLetter (First (*B));
}

int
ZppVersionCompare (
  ZPP_TEXT  A,
  ZPP_TEXT  B
  )
{
  // A part that starts with one of these is older than one that does not, except with '^'.
  static const char  Signs[] = { '~', '\0', '-', '^', '.' };
  unsigned           Index;
  int                Difference;

  for ( ; ; ) {
    SkipSeparators (&A);
    SkipSeparators (&B);
    for (Index = 0; Index < sizeof (Signs); Index++) {
      if ((First (A) == Signs[Index]) != (First (B) == Signs[Index])) {
        return (First (A) == Signs[Index]) == (Signs[Index] == '^') ? 1 : -1;
      }

      if (First (A) != Signs[Index]) {
        continue;
      }

      if (Signs[Index] == '\0') {
        return 0;
      }

      Skip (&A);
      Skip (&B);
    }

    Difference = IsDigit (First (A)) || IsDigit (First (B)) ? CompareNumbers (&A, &B) : CompareLetters (&A, &B);
    if (Difference != 0) {
      return Difference;
    }
  }
}

/**
  Compares two texts byte by byte; one that is absent is empty.

  @param[in] A  One text.
  @param[in] B  The other.

  @return Negative if A comes first, positive if B does, 0 if they are equal.
**/
static int
CompareBytes (
  ZPP_TEXT  A,
  ZPP_TEXT  B
  )
{
  size_t  Index;

  for (Index = 0; (Index < A.Length) && (Index < B.Length); Index++) {
    if (A.Start[Index] != B.Start[Index]) {
      return (int)(uint8_t)A.Start[Index] - (int)(uint8_t)B.Start[Index];
    }
  }

  return (A.Length > B.Length) - (A.Length < B.Length);
}

static bool
IsBad (
  const ZPP_BLS_RANK  *Rank
  )
{
  return Rank->Name.Counted && (Rank->Name.Left == 0);
}

int
ZppBlsCompare (
  const ZPP_BLS_RANK  *A,
  const ZPP_BLS_RANK  *B
  )
{
  int  Difference;

  if (IsBad (A) != IsBad (B)) {
    return IsBad (A) ? 1 : -1;
  }

  if ((A->SortKey.Length != 0) != (B->SortKey.Length != 0)) {
    return A->SortKey.Length != 0 ? -1 : 1;
  }

  if (A->SortKey.Length != 0) {
    Difference = CompareBytes (A->SortKey, B->SortKey);
    if (Difference == 0) {
      Difference = CompareBytes (A->MachineId, B->MachineId);
    }

    if (Difference == 0) {
      Difference = ZppVersionCompare (B->Version, A->Version);
    }

    if (Difference != 0) {
      return Difference;
    }
  }

  Difference = ZppVersionCompare (B->Name.Stem, A->Name.Stem);
  if (Difference == 0) {
    Difference = (A->Name.Done > B->Name.Done) - (A->Name.Done < B->Name.Done);
  }

  return Difference;
}
