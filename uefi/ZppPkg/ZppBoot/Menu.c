/** @file
  The menu.
**/
#include "Keys.h"
#include "Menu.h"
#include "MenuState.h"
#include "Screen.h"
#include "Tools.h"

#include <Library/UefiLib.h>

#define SECOND  1000 ///< In milliseconds.

enum {
  RowTitle   = 0,
  RowAbove   = 1,
  RowItems   = 2,
  ItemRows   = 15,
  RowBelow   = RowItems + ItemRows,
  RowWish    = RowBelow + 1,
  RowReason,
  RowKeys    = ZPP_SCREEN_ROWS - 3,
  RowCountdown
};

/**
  The title of an item: an entry, or a tool.

  @param[in] Menu   The menu.
  @param[in] Index  The item.

  @return Its title.
**/
STATIC
CONST CHAR16 *
ItemTitle (
  IN CONST ZPP_MENU  *Menu,
  IN UINTN           Index
  )
{
  return Index < Menu->Entries->Count ? Menu->Entries->Items[Index].Title :
         ZppGetTool (Index - Menu->Entries->Count)->Title;
}

/**
  Draws the menu.

  @param[in] Menu   The menu.
  @param[in] State  Its state.
**/
STATIC
VOID
Draw (
  IN CONST ZPP_MENU        *Menu,
  IN CONST ZPP_MENU_STATE  *State
  )
{
  UINTN    Row;
  UINTN    Item;
  BOOLEAN  IsSelected;

  ZppDrawLine (RowTitle, ZppStyleBold, L"  zpp boot menu");
  ZppDrawLine (RowAbove, ZppStyleNormal, State->First > 0 ? L"    (more above)" : L"");
  for (Row = 0; Row < ItemRows; Row++) {
    Item       = State->First + Row;
    IsSelected = Item == State->Selected;
    if (Item < State->Count) {
      ZppDrawLine (
        RowItems + Row,
        IsSelected ? ZppStyleSelected : ZppStyleNormal,
        L"  %s %s",
        IsSelected ? L">" : L" ",
        ItemTitle (Menu, Item)
        );
    } else {
      ZppDrawLine (RowItems + Row, ZppStyleNormal, L"");
    }
  }

  ZppDrawLine (RowBelow, ZppStyleNormal, State->First + ItemRows < State->Count ? L"    (more below)" : L"");
  ZppDrawLine (RowWish, ZppStyleBold, L"  Hypervisor: %s", ZppWishStarts (&Menu->Wish) ? L"on" : L"off");
  ZppDrawLine (RowReason, ZppStyleNormal, L"  %a", ZppWishReason (&Menu->Wish));
  ZppDrawLine (RowKeys, ZppStyleNormal, L"  Up, Down: select   Enter: start   H: hypervisor on or off");
  if (State->Seconds == 0) {
    ZppDrawLine (RowCountdown, ZppStyleNormal, L"");
  } else {
    ZppDrawLine (RowCountdown, ZppStyleNormal, L"  Starts in %d s; any key stops the countdown", State->Seconds);
  }

  ZppShowScreen ();
}

/**
  Runs a tool, with the console to itself.

  @param[in] Menu   The menu.
  @param[in] Index  The tool.

  @retval EFI_SUCCESS  The tool has returned, and the menu can be drawn again.
  @retval other        It cannot.
**/
STATIC
EFI_STATUS
RunTool (
  IN CONST ZPP_MENU  *Menu,
  IN UINTN           Index
  )
{
  EFI_INPUT_KEY  Key;

  ZppCloseScreen ();
  ZppGetTool (Index)->Run (Menu->ImageHandle, Menu->Device);
  Print (L"Press a key to return to the menu\n");
  ZppWaitForKey (0);
  while (ZppReadKey (&Key)) {
  }

  return ZppOpenScreen ();
}

/**
  Waits for a key, or for the next second of the countdown.

  @param[in,out] Menu   The menu.
  @param[in,out] State  Its state.

  @return What to do.
**/
STATIC
ZPP_MENU_ACTION
WaitForAction (
  IN OUT ZPP_MENU        *Menu,
  IN OUT ZPP_MENU_STATE  *State
  )
{
  EFI_INPUT_KEY  Key;

  if (ZppWaitForKey (State->Seconds == 0 ? 0 : SECOND)) {
    if (!ZppReadKey (&Key)) {
      return ZppMenuNothing;
    }

    Menu->WasKey = TRUE;
    return ZppMenuKey (State, Key.ScanCode, Key.UnicodeChar);
  }

  if (State->Seconds == 0) {
    return ZppMenuNothing;
  }

  return ZppMenuTick (State) ? ZppMenuStart : ZppMenuRedraw;
}

EFI_STATUS
ZppRunMenu (
  IN OUT ZPP_MENU  *Menu
  )
{
  ZPP_MENU_STATE   State;
  ZPP_MENU_ACTION  Action;
  EFI_STATUS       Status;

  Status = ZppOpenScreen ();
  if (EFI_ERROR (Status)) {
    return Status;
  }

  ZppMenuBegin (
    &State,
    (unsigned)(Menu->Entries->Count + ZppToolCount ()),
    ItemRows,
    (unsigned)(Menu->Selected - Menu->Entries->Items),
    Menu->Timeout
    );
  for ( ; ; ) {
    Draw (Menu, &State);
    Action = WaitForAction (Menu, &State);
    if (Action == ZppMenuToggle) {
      ZppToggleWish (&Menu->Wish);
    } else if ((Action == ZppMenuStart) && (State.Selected < Menu->Entries->Count)) {
      break;
    } else if (Action == ZppMenuStart) {
      Status = RunTool (Menu, State.Selected - Menu->Entries->Count);
      if (EFI_ERROR (Status)) {
        return Status;
      }
    }
  }

  ZppCloseScreen ();
  Menu->Selected = &Menu->Entries->Items[State.Selected];
  return EFI_SUCCESS;
}
