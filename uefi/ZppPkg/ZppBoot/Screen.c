/** @file
  Lines of text on all consoles.
**/
#include "LargeText.h"
#include "Screen.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/PrintLib.h>
#include <Library/UefiBootServicesTableLib.h>

STATIC ZPP_LINE  *mLines;

STATIC CONST UINTN  mAttributes[] = {
  [ZppStyleNormal]   = EFI_TEXT_ATTR (EFI_LIGHTGRAY, EFI_BLACK),
  [ZppStyleSelected] = EFI_TEXT_ATTR (EFI_BLACK, EFI_LIGHTGRAY),
  [ZppStyleBold]     = EFI_TEXT_ATTR (EFI_WHITE, EFI_BLACK)
};

EFI_STATUS
ZppOpenScreen (
  VOID
  )
{
  UINTN  Columns;
  UINTN  Rows;

  if (gST->ConOut == NULL) {
    return EFI_NOT_FOUND;
  }

  mLines = AllocateZeroPool (ZPP_SCREEN_ROWS * sizeof (*mLines));
  if (mLines == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  // Mode 0 has 80 columns and 25 rows on every console.
  if (EFI_ERROR (gST->ConOut->QueryMode (gST->ConOut, gST->ConOut->Mode->Mode, &Columns, &Rows)) ||
      (Columns <= ZPP_SCREEN_COLUMNS) || (Rows < ZPP_SCREEN_ROWS))
  {
    gST->ConOut->SetMode (gST->ConOut, 0);
  }

  gST->ConOut->SetAttribute (gST->ConOut, mAttributes[ZppStyleNormal]);
  gST->ConOut->ClearScreen (gST->ConOut);
  gST->ConOut->EnableCursor (gST->ConOut, FALSE);
  return EFI_SUCCESS;
}

VOID
EFIAPI
ZppDrawLine (
  IN UINTN         Row,
  IN ZPP_STYLE     Style,
  IN CONST CHAR16  *Format,
  ...
  )
{
  ZPP_LINE  Line;
  VA_LIST   Arguments;
  UINTN     Length;
  UINTN     Index;

  VA_START (Arguments, Format);
  Length = UnicodeVSPrint (Line.Text, sizeof (Line.Text), Format, Arguments);
  VA_END (Arguments);
  for (Index = 0; Index < Length; Index++) {
    // A title can contain any text; an escape character would reach the terminal.
    if ((Line.Text[Index] < L' ') || (Line.Text[Index] == 0x7F)) {
      Line.Text[Index] = L'?';
    }
  }

  for ( ; Length < ZPP_SCREEN_COLUMNS; Length++) {
    Line.Text[Length] = L' ';
  }

  Line.Text[Length] = L'\0';
  Line.Style        = Style;
  if ((Row >= ZPP_SCREEN_ROWS) || ((StrCmp (Line.Text, mLines[Row].Text) == 0) && (mLines[Row].Style == Style))) {
    return;
  }

  CopyMem (&mLines[Row], &Line, sizeof (Line));
  gST->ConOut->SetAttribute (gST->ConOut, mAttributes[Style]);
  gST->ConOut->SetCursorPosition (gST->ConOut, 0, Row);
  gST->ConOut->OutputString (gST->ConOut, Line.Text);
}

VOID
ZppShowScreen (
  VOID
  )
{
  ZppPaintLarge (mLines);
}

VOID
ZppCloseScreen (
  VOID
  )
{
  gST->ConOut->SetAttribute (gST->ConOut, mAttributes[ZppStyleNormal]);
  ZppClearLarge ();
  gST->ConOut->ClearScreen (gST->ConOut);
  gST->ConOut->EnableCursor (gST->ConOut, TRUE);
  FreePool (mLines);
  mLines = NULL;
}
