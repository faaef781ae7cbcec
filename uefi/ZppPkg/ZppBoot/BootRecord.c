/** @file
  Whether the last boots with the hypervisor completed (docs/adr/0019).
**/
#include "BootRecord.h"

bool
ZppBootRecordIsValid (
  const struct zpp_boot_record  *Record,
  size_t                        Size
  )
{
  return (Size == sizeof (*Record)) && (Record->version == ZPP_BOOT_RECORD_VERSION) &&
         (Record->state <= ZPP_BOOT_LEFT_OUT);
}

unsigned
ZppBootRecordFailed (
  const struct zpp_boot_record  *Record,
  uint64_t                      Now
  )
{
  uint64_t  Passed;

  if (Record->state == ZPP_BOOT_LEFT_OUT) {
    return Record->boots;
  }

  // A clock that went back by more was set by a system that ran.
  Passed = Now >= Record->started ? Now - Record->started : Record->started - Now;
  return Passed < ZPP_BOOT_SECONDS ? Record->boots : 0;
}

void
ZppBootRecordStart (
  struct zpp_boot_record  *Record,
  unsigned                Failed,
  uint64_t                Now
  )
{
  *Record = (struct zpp_boot_record) {
    .version = ZPP_BOOT_RECORD_VERSION,
    .boots   = (uint8_t)(Failed < UINT8_MAX ? Failed + 1 : Failed),
    .state   = ZPP_BOOT_STARTED,
    .started = Now
  };
}

void
ZppBootRecordLeaveOut (
  struct zpp_boot_record  *Record,
  unsigned                Failed
  )
{
  *Record = (struct zpp_boot_record) {
    .version = ZPP_BOOT_RECORD_VERSION,
    .boots   = (uint8_t)(Failed < UINT8_MAX ? Failed : UINT8_MAX),
    .state   = ZPP_BOOT_LEFT_OUT
  };
}

uint64_t
ZppSeconds (
  unsigned  Year,
  unsigned  Month,
  unsigned  Day,
  unsigned  Hour,
  unsigned  Minute,
  unsigned  Second
  )
{
  static const unsigned  DaysBefore[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
  uint64_t               Days;
  unsigned               Years;
  bool                   IsLeap;

  Years  = Year < 2000 ? 0 : Year - 2000;
  Month  = (Month < 1) || (Month > 12) ? 1 : Month;
  IsLeap = (Years % 4 == 0) && ((Years % 100 != 0) || (Years % 400 == 0));
  Days   = (uint64_t)Years * 365 + DaysBefore[Month - 1] + (Day < 1 ? 0 : Day - 1);
  if (Years != 0) {
    // The leap years before this one; 2000 was one.
    Days += (Years - 1) / 4 - (Years - 1) / 100 + (Years - 1) / 400 + 1;
  }

  Days += IsLeap && (Month > 2);
  return ((Days * 24 + Hour) * 60 + Minute) * 60 + Second;
}
