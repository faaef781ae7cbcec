/** @file
  Whether the hypervisor starts at this boot, and who decided it.
**/
#include "Wish.h"

#include <Library/PrintLib.h>

VOID
ZppSetWish (
  IN OUT ZPP_WISH       *Wish,
  IN     ZPP_WISH_KIND  Kind
  )
{
  CONST CHAR8  *Boots;

  Wish->Kind      = Kind;
  Wish->Reason[0] = '\0';
  Boots           = Wish->Failed == 1 ? "boot" : "boots";
  switch (Kind) {
    case ZppWishOn:
      if (Wish->Failed > 0) {
        AsciiSPrint (
          Wish->Reason,
          sizeof (Wish->Reason),
          "%d %a with the hypervisor did not complete; after %d it is turned off",
          Wish->Failed,
          Boots,
          Wish->Tries
          );
      }

      break;
    case ZppWishRuns:
      AsciiSPrint (Wish->Reason, sizeof (Wish->Reason), "it is already running and stays on");
      break;
    case ZppWishOffByConf:
      AsciiSPrint (Wish->Reason, sizeof (Wish->Reason), "turned off in \\EFI\\zpp\\zpp.conf");
      break;
    case ZppWishOffByKey:
      AsciiSPrint (Wish->Reason, sizeof (Wish->Reason), "you pressed Esc or Ctrl");
      break;
    case ZppWishOffByMenu:
      AsciiSPrint (Wish->Reason, sizeof (Wish->Reason), "you turned it off in the menu");
      break;
    case ZppWishOffByBoots:
      AsciiSPrint (Wish->Reason, sizeof (Wish->Reason), "the last %d %a with it did not complete", Wish->Failed, Boots);
      break;
    case ZppWishOffByEntry:
      AsciiSPrint (Wish->Reason, sizeof (Wish->Reason), "all tries of this loader entry failed");
      break;
    default:
      break;
  }
}

BOOLEAN
ZppWishStarts (
  IN CONST ZPP_WISH  *Wish
  )
{
  return Wish->Kind <= ZppWishRuns;
}

CONST CHAR8 *
ZppWishReason (
  IN CONST ZPP_WISH  *Wish
  )
{
  return Wish->Reason;
}

VOID
ZppToggleWish (
  IN OUT ZPP_WISH  *Wish
  )
{
  if (Wish->Kind != ZppWishRuns) {
    ZppSetWish (Wish, ZppWishStarts (Wish) ? ZppWishOffByMenu : ZppWishOnByMenu);
  }
}
