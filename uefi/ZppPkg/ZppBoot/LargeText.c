/** @file
  Lines of text on the frame buffer, enlarged: firmware draws its letters 8 pixels wide at every
  resolution, and on a screen of 3840 pixels nobody can read them.
**/
#include "LargeText.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Protocol/GraphicsOutput.h>
#include <Protocol/HiiFont.h>

#define LINE_WIDTH   ((ZPP_SCREEN_COLUMNS + 1) * EFI_GLYPH_WIDTH)
#define LINE_HEIGHT  EFI_GLYPH_HEIGHT
#define DRAW_FLAGS   (EFI_HII_IGNORE_IF_NO_GLYPH | EFI_HII_OUT_FLAG_CLIP | EFI_HII_IGNORE_LINE_BREAK)

typedef struct {
  EFI_GRAPHICS_OUTPUT_PROTOCOL    *Graphics;
  EFI_HII_FONT_PROTOCOL           *Font;
  UINTN                           Scale;
} LARGE_SCREEN;

STATIC CONST EFI_GRAPHICS_OUTPUT_BLT_PIXEL  mBlack = { 0, 0, 0, 0 };

// Blue, green, red: foreground and background of each style.
STATIC CONST EFI_GRAPHICS_OUTPUT_BLT_PIXEL  mColors[][2] = {
  [ZppStyleNormal]   = { { 0xAA, 0xAA, 0xAA, 0 }, { 0,    0,    0,    0 }
  },
  [ZppStyleSelected] = { { 0,    0,    0,    0 }, { 0xAA, 0xAA, 0xAA, 0 }
  },
  [ZppStyleBold]     = { { 0xFF, 0xFF, 0xFF, 0 }, { 0,    0,    0,    0 }
  }
};

/**
  Finds the screen, the font, and how much the text can be enlarged.

  @param[out] Screen  The screen.

  @retval TRUE   Text can be enlarged at least twice.
  @retval FALSE  It cannot.
**/
STATIC
BOOLEAN
FindScreen (
  OUT LARGE_SCREEN  *Screen
  )
{
  EFI_GRAPHICS_OUTPUT_MODE_INFORMATION  *Mode;

  if (EFI_ERROR (gBS->HandleProtocol (gST->ConsoleOutHandle, &gEfiGraphicsOutputProtocolGuid, (VOID **)&Screen->Graphics)) ||
      EFI_ERROR (gBS->LocateProtocol (&gEfiHiiFontProtocolGuid, NULL, (VOID **)&Screen->Font)))
  {
    return FALSE;
  }

  Mode          = Screen->Graphics->Mode->Info;
  Screen->Scale = MIN (Mode->HorizontalResolution / LINE_WIDTH, Mode->VerticalResolution / (ZPP_SCREEN_ROWS * LINE_HEIGHT));
  return Screen->Scale >= 2;
}

/**
  Draws a line at the font's own size.

  @param[in]  Screen  The screen.
  @param[in]  Line    The line.
  @param[out] Image   LINE_WIDTH by LINE_HEIGHT pixels.
**/
STATIC
VOID
DrawSmall (
  IN  CONST LARGE_SCREEN  *Screen,
  IN  CONST ZPP_LINE      *Line,
  OUT EFI_IMAGE_OUTPUT    *Image
  )
{
  EFI_FONT_DISPLAY_INFO  Font;
  UINTN                  Index;

  for (Index = 0; Index < LINE_WIDTH * LINE_HEIGHT; Index++) {
    Image->Image.Bitmap[Index] = mColors[Line->Style][1];
  }

  ZeroMem (&Font, sizeof (Font));
  Font.FontInfoMask    = EFI_FONT_INFO_SYS_FONT | EFI_FONT_INFO_SYS_SIZE | EFI_FONT_INFO_SYS_STYLE;
  Font.ForegroundColor = mColors[Line->Style][0];
  Font.BackgroundColor = mColors[Line->Style][1];
  Screen->Font->StringToImage (
                  Screen->Font,
                  DRAW_FLAGS,
                  (EFI_STRING)Line->Text,
                  &Font,
                  &Image,
                  0,
                  0,
                  NULL,
                  NULL,
                  NULL
                  );
}

/**
  Enlarges a line and copies it to the screen.

  @param[in] Screen  The screen.
  @param[in] Small   The line, LINE_WIDTH by LINE_HEIGHT pixels.
  @param[in] Large   Room for the enlarged line.
  @param[in] Row     The line's row.
**/
STATIC
VOID
CopyLarge (
  IN CONST LARGE_SCREEN                   *Screen,
  IN CONST EFI_GRAPHICS_OUTPUT_BLT_PIXEL  *Small,
  IN EFI_GRAPHICS_OUTPUT_BLT_PIXEL        *Large,
  IN UINTN                                Row
  )
{
  UINTN  Scale;
  UINTN  Width;
  UINTN  Left;
  UINTN  Top;
  UINTN  X;
  UINTN  Y;

  Scale = Screen->Scale;
  Width = LINE_WIDTH * Scale;
  Left  = (Screen->Graphics->Mode->Info->HorizontalResolution - Width) / 2;
  Top   = (Screen->Graphics->Mode->Info->VerticalResolution - ZPP_SCREEN_ROWS * LINE_HEIGHT * Scale) / 2;
  for (Y = 0; Y < LINE_HEIGHT * Scale; Y++) {
    for (X = 0; X < Width; X++) {
      Large[Y * Width + X] = Small[Y / Scale * LINE_WIDTH + X / Scale];
    }
  }

  Screen->Graphics->Blt (
                      Screen->Graphics,
                      Large,
                      EfiBltBufferToVideo,
                      0,
                      0,
                      Left,
                      Top + Row * LINE_HEIGHT * Scale,
                      Width,
                      LINE_HEIGHT * Scale,
                      0
                      );
}

VOID
ZppPaintLarge (
  IN CONST ZPP_LINE  *Lines
  )
{
  LARGE_SCREEN                   Screen;
  EFI_IMAGE_OUTPUT               Image;
  EFI_GRAPHICS_OUTPUT_BLT_PIXEL  *Large;
  UINTN                          Row;

  if (!FindScreen (&Screen)) {
    return;
  }

  Image.Width        = LINE_WIDTH;
  Image.Height       = LINE_HEIGHT;
  Image.Image.Bitmap = AllocatePool (LINE_WIDTH * LINE_HEIGHT * sizeof (*Large));
  Large              = AllocatePool (LINE_WIDTH * LINE_HEIGHT * Screen.Scale * Screen.Scale * sizeof (*Large));
  if ((Image.Image.Bitmap != NULL) && (Large != NULL)) {
    ZppClearLarge (); // of what the text mode drew
    for (Row = 0; Row < ZPP_SCREEN_ROWS; Row++) {
      DrawSmall (&Screen, &Lines[Row], &Image);
      CopyLarge (&Screen, Image.Image.Bitmap, Large, Row);
    }
  }

  if (Image.Image.Bitmap != NULL) {
    FreePool (Image.Image.Bitmap);
  }

  if (Large != NULL) {
    FreePool (Large);
  }
}

VOID
ZppClearLarge (
  VOID
  )
{
  LARGE_SCREEN  Screen;

  if (FindScreen (&Screen)) {
    Screen.Graphics->Blt (
                       Screen.Graphics,
                       (EFI_GRAPHICS_OUTPUT_BLT_PIXEL *)&mBlack,
                       EfiBltVideoFill,
                       0,
                       0,
                       0,
                       0,
                       Screen.Graphics->Mode->Info->HorizontalResolution,
                       Screen.Graphics->Mode->Info->VerticalResolution,
                       0
                       );
  }
}
