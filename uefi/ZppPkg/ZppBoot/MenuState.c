/** @file
  The state of the menu: what is selected, which part of the list is shown, the countdown.
**/
#include "MenuState.h"

// UEFI specification, appendix B: EFI scan codes for SIMPLE_TEXT_INPUT.
#define KEY_UP         0x01u
#define KEY_DOWN       0x02u
#define KEY_HOME       0x05u
#define KEY_END        0x06u
#define KEY_PAGE_UP    0x09u
#define KEY_PAGE_DOWN  0x0Au

/**
  Selects an item and scrolls to it.

  @param[in,out] State     The state.
  @param[in]     Selected  The item.

  @return ZppMenuRedraw.
**/
static ZPP_MENU_ACTION
Select (
  ZPP_MENU_STATE  *State,
  unsigned        Selected
  )
{
  State->Selected = Selected;
  if (Selected < State->First) {
    State->First = Selected;
  } else if (Selected >= State->First + State->Rows) {
    State->First = Selected - State->Rows + 1;
  }

  return ZppMenuRedraw;
}

void
ZppMenuBegin (
  ZPP_MENU_STATE  *State,
  unsigned        Count,
  unsigned        Rows,
  unsigned        Selected,
  unsigned        Seconds
  )
{
  *State = (ZPP_MENU_STATE) { .Count = Count, .Rows = Rows, .Seconds = Seconds };
  Select (State, Selected);
}

ZPP_MENU_ACTION
ZppMenuKey (
  ZPP_MENU_STATE  *State,
  uint16_t        ScanCode,
  uint16_t        Char
  )
{
  unsigned  Last;
  bool      WasCounting;

  Last           = State->Count - 1;
  WasCounting    = State->Seconds != 0;
  State->Seconds = 0;
  switch (ScanCode) {
    case KEY_UP:
      return Select (State, State->Selected == 0 ? Last : State->Selected - 1);
    case KEY_DOWN:
      return Select (State, State->Selected == Last ? 0 : State->Selected + 1);
    case KEY_HOME:
      return Select (State, 0);
    case KEY_END:
      return Select (State, Last);
    case KEY_PAGE_UP:
      return Select (State, State->Selected < State->Rows ? 0 : State->Selected - State->Rows);
    case KEY_PAGE_DOWN:
      return Select (State, Last - State->Selected < State->Rows ? Last : State->Selected + State->Rows);
    default:
      break;
  }

  switch (Char) {
    case '\r':
    case '\n':
      return ZppMenuStart;
    case 'h':
    case 'H':
      return ZppMenuToggle;
    default:
      return WasCounting ? ZppMenuRedraw : ZppMenuNothing;
  }
}

bool
ZppMenuTick (
  ZPP_MENU_STATE  *State
  )
{
  State->Seconds--;
  return State->Seconds == 0;
}
