/** @file
  Lines of text on the frame buffer, enlarged.
**/
#ifndef ZPP_BOOT_LARGE_TEXT_H_
#define ZPP_BOOT_LARGE_TEXT_H_

#include "Screen.h"

typedef struct {
  CHAR16       Text[ZPP_SCREEN_COLUMNS + 1];
  ZPP_STYLE    Style;
} ZPP_LINE;

/**
  Paints lines over the whole screen, if the screen is at least twice as large as they are in the
  firmware's font, and the firmware gives access to its font.

  @param[in] Lines  ZPP_SCREEN_ROWS lines.
**/
VOID
ZppPaintLarge (
  IN CONST ZPP_LINE  *Lines
  );

/**
  Blackens the screen, if ZppPaintLarge() paints on it.
**/
VOID
ZppClearLarge (
  VOID
  );

#endif
