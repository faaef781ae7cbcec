/** @file
  The state of the menu: what is selected, which part of the list is shown, the countdown.

  Plain C without EDK2, for tests on the build machine.
**/
#ifndef ZPP_BOOT_MENU_STATE_H_
#define ZPP_BOOT_MENU_STATE_H_

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  unsigned    Count;        ///< Items; at least 1.
  unsigned    Rows;         ///< Rows for items on the screen; at least 1.
  unsigned    Selected;
  unsigned    First;        ///< The first item shown.
  unsigned    Seconds;      ///< Until the selected item starts; 0: the menu waits for a key.
} ZPP_MENU_STATE;

typedef enum {
  ZppMenuNothing,           ///< The key has no meaning.
  ZppMenuRedraw,            ///< The state changed.
  ZppMenuStart,             ///< The selected item was chosen.
  ZppMenuToggle             ///< The hypervisor was turned on or off.
} ZPP_MENU_ACTION;

/**
  Starts the menu.

  @param[out] State     The state.
  @param[in]  Count     The number of items; at least 1.
  @param[in]  Rows      The rows for items on the screen; at least 1.
  @param[in]  Selected  The item that is selected.
  @param[in]  Seconds   Until it starts; 0: not without a key.
**/
void
ZppMenuBegin (
  ZPP_MENU_STATE  *State,
  unsigned        Count,
  unsigned        Rows,
  unsigned        Selected,
  unsigned        Seconds
  );

/**
  Takes a key. Every key ends the countdown.

  @param[in,out] State     The state.
  @param[in]     ScanCode  The key's EFI scan code.
  @param[in]     Char      Its character; 0 for none.

  @return What to do.
**/
ZPP_MENU_ACTION
ZppMenuKey (
  ZPP_MENU_STATE  *State,
  uint16_t        ScanCode,
  uint16_t        Char
  );

/**
  Counts a second down.

  @param[in,out] State  The state; the countdown runs.

  @retval true   The time is over: the selected item starts.
  @retval false  It is not.
**/
bool
ZppMenuTick (
  ZPP_MENU_STATE  *State
  );

#endif
