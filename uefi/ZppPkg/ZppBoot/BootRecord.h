/** @file
  Whether the last boots with the hypervisor completed (docs/adr/0019).

  Plain C without EDK2, for tests on the build machine.
**/
#ifndef ZPP_BOOT_BOOT_RECORD_H_
#define ZPP_BOOT_BOOT_RECORD_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zpp/boot_record.h>

/// A machine that starts again within this time did not complete its boot.
#define ZPP_BOOT_SECONDS  300u

/**
  Checks a record read from the variable.

  @param[in] Record  The record.
  @param[in] Size    The variable's size in bytes.

  @retval true   It can be used.
  @retval false  It has another size or version.
**/
bool
ZppBootRecordIsValid (
  const struct zpp_boot_record  *Record,
  size_t                        Size
  );

/**
  Counts the boots in a row that did not complete.

  @param[in] Record  A valid record.
  @param[in] Now     The time, as in the record.

  @return The number of boots.
**/
unsigned
ZppBootRecordFailed (
  const struct zpp_boot_record  *Record,
  uint64_t                      Now
  );

/**
  Makes the record of a boot with the hypervisor.

  @param[out] Record  The record.
  @param[in]  Failed  The boots before it that failed.
  @param[in]  Now     The time.
**/
void
ZppBootRecordStart (
  struct zpp_boot_record  *Record,
  unsigned                Failed,
  uint64_t                Now
  );

/**
  Makes the record of a machine on which the hypervisor stays off.

  @param[out] Record  The record.
  @param[in]  Failed  The boots that failed.
**/
void
ZppBootRecordLeaveOut (
  struct zpp_boot_record  *Record,
  unsigned                Failed
  );

/**
  Converts a date and time to seconds since 2000-01-01.

  @param[in] Year    2000 or later; an earlier one counts as 2000.
  @param[in] Month   1 to 12.
  @param[in] Day     1 to 31.
  @param[in] Hour    0 to 23.
  @param[in] Minute  0 to 59.
  @param[in] Second  0 to 59.

  @return The seconds.
**/
uint64_t
ZppSeconds (
  unsigned  Year,
  unsigned  Month,
  unsigned  Day,
  unsigned  Hour,
  unsigned  Minute,
  unsigned  Second
  );

#endif
