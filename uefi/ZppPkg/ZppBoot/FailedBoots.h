/** @file
  Counts the boots with the hypervisor that did not complete, in a variable (docs/adr/0019).
**/
#ifndef ZPP_BOOT_FAILED_BOOTS_H_
#define ZPP_BOOT_FAILED_BOOTS_H_

#include <Uefi.h>

#include "BootRecord.h"

typedef struct {
  UINT16                    Tries;    ///< "boot-tries"; 0: nothing is counted.
  UINTN                     Failed;   ///< The boots in a row that did not complete.
  UINT64                    Now;
  BOOLEAN                   HasRecord;
  struct zpp_boot_record    Record;   ///< As it was when this program started.
} ZPP_BOOTS;

/**
  Finds out how many boots in a row did not complete. A variable that is not valid is reported, and
  counts as absent.

  @param[in]  Tries  "boot-tries".
  @param[out] Boots  The result.
**/
VOID
ZppReadBoots (
  IN  UINT16     Tries,
  OUT ZPP_BOOTS  *Boots
  );

/**
  Checks whether the hypervisor must stay off.

  @param[in] Boots  The boots.

  @retval TRUE   Too many boots did not complete.
  @retval FALSE  It can be started.
**/
BOOLEAN
ZppTooManyFailed (
  IN CONST ZPP_BOOTS  *Boots
  );

/**
  Counts a boot with the hypervisor, right before it starts. A failure is reported.

  @param[in] Boots  The boots; Failed may have been set to 0.
**/
VOID
ZppCountBoot (
  IN CONST ZPP_BOOTS  *Boots
  );

/**
  Undoes ZppCountBoot(): no hypervisor was started, or the firmware is in control again.

  @param[in] Boots  The boots.
**/
VOID
ZppUncountBoot (
  IN CONST ZPP_BOOTS  *Boots
  );

/**
  Keeps the hypervisor off at later starts too, however long this boot runs.

  @param[in] Boots  The boots.
**/
VOID
ZppKeepOut (
  IN CONST ZPP_BOOTS  *Boots
  );

#endif
