/** @file
  The keyboard, and serial terminals.
**/
#ifndef ZPP_BOOT_KEYS_H_
#define ZPP_BOOT_KEYS_H_

#include <Uefi.h>

/// What a key asks for that is pressed while ZppBoot starts.
typedef enum {
  ZppStartNormal,
  ZppStartMenu,
  ZppStartWithoutHypervisor ///< Esc, or Ctrl.
} ZPP_START;

/**
  Reads the keys pressed so far, without waiting. Enter does not count: it may be left over from the
  firmware's boot menu.

  @return What the first key asks for.
**/
ZPP_START
ZppReadStartKey (
  VOID
  );

/**
  Reads a key, if one was pressed.

  @param[out] Key  The key.

  @retval TRUE   There was one.
  @retval FALSE  There was none.
**/
BOOLEAN
ZppReadKey (
  OUT EFI_INPUT_KEY  *Key
  );

/**
  Waits for a key.

  @param[in] Milliseconds  The longest time; 0: without limit.

  @retval TRUE   A key was pressed, and can be read.
  @retval FALSE  The time is over.
**/
BOOLEAN
ZppWaitForKey (
  IN UINTN  Milliseconds
  );

#endif
