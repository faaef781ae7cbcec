/** @file
  The UEFI variables of zpp.
**/
#ifndef ZPP_VARIABLES_H_
#define ZPP_VARIABLES_H_

#include <Uefi.h>

extern EFI_GUID  gZppVariableGuid;

/// UINT64, for boot services only: the physical address of the core's struct zpp_log_record. It stays
/// over resets, so that the next boot finds the log.
#define ZPP_LOG_RECORD_VARIABLE    L"ZppLogRecord"
#define ZPP_LOG_RECORD_ATTRIBUTES  (EFI_VARIABLE_NON_VOLATILE | EFI_VARIABLE_BOOTSERVICE_ACCESS)

#endif
