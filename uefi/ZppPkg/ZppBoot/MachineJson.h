/** @file
  The text of machine.json: docs/reference/schemas/machine.json describes it.

  Plain C without EDK2, for tests on the build machine.
**/
#ifndef ZPP_BOOT_MACHINE_JSON_H_
#define ZPP_BOOT_MACHINE_JSON_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <loader/diagnosis.h>

typedef enum {
  ZppRangeRam,
  ZppRangeReserved,
  ZppRangeAcpi,
  ZppRangeAcpiNvs,
  ZppRangeRuntime,    ///< Code and data of the firmware's runtime services.
  ZppRangeMmio,
  ZppRangeUnusable,
  ZppRangePersistent,
} ZPP_RANGE_TYPE;

typedef struct {
  uint64_t          Start;
  uint64_t          End;  ///< Its last byte.
  ZPP_RANGE_TYPE    Type;
} ZPP_RANGE;

typedef enum {
  ZppSecureBootUnknown,
  ZppSecureBootOff,
  ZppSecureBootOn,
} ZPP_SECURE_BOOT;

/// What was recorded of a machine.
typedef struct {
  const char                        *Vendor;      ///< The firmware's, ASCII.
  uint32_t                          Revision;     ///< The firmware's.
  uint32_t                          UefiRevision; ///< As in the system table's header.
  ZPP_SECURE_BOOT                   SecureBoot;
  const ZPP_RANGE                   *Ranges;
  size_t                            RangeCount;
  const struct zpp_capture *const   *Cpus;        ///< The BSP first.
  uint32_t                          CpuCount;
} ZPP_MACHINE;

/**
  Writes the text. Of the CPUs after the first, it has only what differs from the first.

  @param[in]  Machine    What was recorded.
  @param[in]  Diagnosis  What follows from it.
  @param[out] Text       Receives the text, without a terminating zero.
  @param[in]  Size       The size of Text; the rest is not written.

  @return The size that the text needs.
**/
size_t
ZppMachineToJson (
  const ZPP_MACHINE           *Machine,
  const struct zpp_diagnosis  *Diagnosis,
  char                        *Text,
  size_t                      Size
  );

#endif
