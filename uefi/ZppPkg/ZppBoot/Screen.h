/** @file
  Lines of text on all consoles: in the firmware's text mode, and, on screens where its letters would
  be tiny, enlarged on the frame buffer.
**/
#ifndef ZPP_BOOT_SCREEN_H_
#define ZPP_BOOT_SCREEN_H_

#include <Uefi.h>

// Fits every text mode and serial terminals. The last column stays free: a character there would
// scroll some terminals.
#define ZPP_SCREEN_COLUMNS  79
#define ZPP_SCREEN_ROWS     24

typedef enum {
  ZppStyleNormal,
  ZppStyleSelected,
  ZppStyleBold
} ZPP_STYLE;

/**
  Clears the screen, and gets ready to draw.

  @retval EFI_SUCCESS  Lines can be drawn.
  @retval other        There is no console, or not enough memory.
**/
EFI_STATUS
ZppOpenScreen (
  VOID
  );

/**
  Draws a line if it changed.

  @param[in] Row     The row, from 0.
  @param[in] Style   How it looks.
  @param[in] Format  Its text, as for Print().
  @param[in] ...     The arguments.
**/
VOID
EFIAPI
ZppDrawLine (
  IN UINTN         Row,
  IN ZPP_STYLE     Style,
  IN CONST CHAR16  *Format,
  ...
  );

/**
  Shows what was drawn.
**/
VOID
ZppShowScreen (
  VOID
  );

/**
  Clears the screen, and gives the console back.
**/
VOID
ZppCloseScreen (
  VOID
  );

#endif
