/** @file
  Whether the hypervisor starts at this boot, and who decided it.
**/
#ifndef ZPP_BOOT_WISH_H_
#define ZPP_BOOT_WISH_H_

#include <Uefi.h>

typedef enum {
  ZppWishOn,
  ZppWishOnByMenu,
  ZppWishRuns,        ///< It runs already.
  ZppWishOffByConf,
  ZppWishOffByKey,
  ZppWishOffByMenu,
  ZppWishOffByBoots,  ///< Too many boots did not complete.
  ZppWishOffByEntry   ///< All tries of the loader entry failed.
} ZPP_WISH_KIND;

typedef struct {
  ZPP_WISH_KIND    Kind;
  UINTN            Failed;      ///< The boots that did not complete.
  UINTN            Tries;       ///< "boot-tries".
  CHAR8            Reason[80];
} ZPP_WISH;

/**
  Sets a wish.

  @param[in,out] Wish  The wish; Failed and Tries are set.
  @param[in]     Kind  Its kind.
**/
VOID
ZppSetWish (
  IN OUT ZPP_WISH       *Wish,
  IN     ZPP_WISH_KIND  Kind
  );

/**
  Checks whether the hypervisor starts, or runs already.

  @param[in] Wish  The wish.

  @retval TRUE   It does.
  @retval FALSE  It does not.
**/
BOOLEAN
ZppWishStarts (
  IN CONST ZPP_WISH  *Wish
  );

/**
  Why the hypervisor does not start, or what there is to know if it does.

  @param[in] Wish  The wish.

  @return The reason; empty if there is none.
**/
CONST CHAR8 *
ZppWishReason (
  IN CONST ZPP_WISH  *Wish
  );

/**
  Turns the hypervisor on or off, as the user does in the menu. One that runs stays.

  @param[in,out] Wish  The wish.
**/
VOID
ZppToggleWish (
  IN OUT ZPP_WISH  *Wish
  );

#endif
