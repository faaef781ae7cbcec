/** @file
  How the last boot with zpp ended, and its log: from memory that a warm reset does not clear.
**/
#ifndef ZPP_BOOT_LAST_BOOT_H_
#define ZPP_BOOT_LAST_BOOT_H_

#include <Uefi.h>

#include <zpp/log_record.h>

typedef enum {
  ZppEndUnknown,      ///< No record: a power-off, a cold start, or the last boot ran without zpp.
  ZppEndClean,        ///< The system said that it would power off or restart.
  ZppEndReset,        ///< It ran to a reset: it hung, somebody reset it, or it restarted.
  ZppEndTripleFault,  ///< The system triple-faulted. Some systems restart so.
  ZppEndCrash         ///< The core crashed.
} ZPP_BOOT_END;

typedef struct {
  ZPP_BOOT_END             End;
  CHAR8                    Reason[ZPP_LOG_REASON_SIZE]; ///< Of ZppEndTripleFault and ZppEndCrash.
  struct zpp_log_record    *Record;                     ///< A copy; NULL for ZppEndUnknown.
} ZPP_LAST_BOOT;

/**
  Returns how the last boot ended.

  The first call looks for the core's record, so it must come before much memory is allocated and
  before the hypervisor starts. An invalid record or variable counts as none.

  @return The answer; the same for every call.
**/
CONST ZPP_LAST_BOOT *
ZppLastBoot (
  VOID
  );

/**
  Erases the core's record: the next boot does not find it again.
**/
VOID
ZppForgetLastBoot (
  VOID
  );

#endif
