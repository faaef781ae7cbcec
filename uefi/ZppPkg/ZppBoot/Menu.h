/** @file
  The menu.
**/
#ifndef ZPP_BOOT_MENU_H_
#define ZPP_BOOT_MENU_H_

#include "Entries.h"
#include "Wish.h"

/// What the menu shows, and what was chosen.
typedef struct {
  EFI_HANDLE           ImageHandle;
  EFI_HANDLE           Device;
  CONST ZPP_ENTRIES    *Entries;  ///< At least one.
  CONST ZPP_ENTRY      *Selected; ///< The default; on return the entry that was chosen.
  ZPP_WISH             Wish;      ///< Whether the hypervisor starts.
  UINT16               Timeout;   ///< Seconds until the default starts; 0: not without a key.
  BOOLEAN              WasKey;    ///< On return: somebody is at the keyboard.
} ZPP_MENU;

/**
  Shows the menu until an entry is chosen.

  @param[in,out] Menu  The menu.

  @retval EFI_SUCCESS  An entry is chosen.
  @retval other        The menu cannot be shown.
**/
EFI_STATUS
ZppRunMenu (
  IN OUT ZPP_MENU  *Menu
  );

#endif
