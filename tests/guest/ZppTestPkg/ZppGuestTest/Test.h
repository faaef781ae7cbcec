/** @file
  Checks and their results.
**/
#ifndef ZPP_TEST_TEST_H_
#define ZPP_TEST_TEST_H_

#include <PiDxe.h>
#include <Protocol/MpService.h>

#include "Fault.h"
#include "Options.h"

#define ZPP_TEXT_MAX  64

/// What all CPUs share.
typedef struct {
  ZPP_OPTIONS                 Options;
  EFI_MP_SERVICES_PROTOCOL    *Mp;
  UINTN                       CpuCount;
  UINTN                       Bsp;
  UINTN                       Failures;
} ZPP_TEST;

/// One CPU, and what it found in the check that is running.
typedef struct {
  ZPP_TEST          *Test;
  UINTN             Cpu;
  ZPP_FAULT_AREA    *Area;
  ZPP_FAULTS        *Faults;

  BOOLEAN           Ran;
  BOOLEAN           Skipped;
  BOOLEAN           Failed;
  CHAR8             What[ZPP_TEXT_MAX]; ///< Of the first failure.
  UINT64            Expected;
  UINT64            Got;
} ZPP_TEST_CPU;

/**
  A check. It runs with interrupts off and the test's own IDT, and must not call boot services.

  @param[in,out] Cpu  The CPU it runs on; gets the result.
**/
typedef
VOID
(*ZPP_CHECK_FUNCTION)(
  IN OUT ZPP_TEST_CPU  *Cpu
  );

typedef enum {
  CheckAlways,
  CheckHeld,    ///< Only makes sense under zpp.
  CheckBare,    ///< Only makes sense without.
  CheckVtxHeld, ///< Only under zpp with VT-x.
} ZPP_CHECK_WHEN;

typedef struct {
  CONST CHAR8           *Name;
  ZPP_CHECK_WHEN        When;
  ZPP_CHECK_FUNCTION    Function;
} ZPP_CHECK;

/**
  Notes a failure unless two values are equal. Only a check's first failure is kept.

  @param[in,out] Cpu       The CPU.
  @param[in]     What      What the values are.
  @param[in]     Expected  The value that is right.
  @param[in]     Got       The value that is there.
**/
VOID
ZppExpect (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *What,
  IN     UINT64        Expected,
  IN     UINT64        Got
  );

/**
  Notes that the check says nothing on this CPU.

  @param[in,out] Cpu  The CPU.
**/
VOID
ZppSkip (
  IN OUT ZPP_TEST_CPU  *Cpu
  );

/**
  Tells whether zpp is expected.

  @param[in] Test  The test.

  @retval TRUE   It is.
  @retval FALSE  The machine is bare.
**/
BOOLEAN
ZppIsHeld (
  IN CONST ZPP_TEST  *Test
  );

/**
  Runs a check on every CPU, the APs at once and then the BSP, and prints its result.

  @param[in,out] Test   The test.
  @param[in]     Check  The check.
**/
VOID
ZppRunCheck (
  IN OUT ZPP_TEST         *Test,
  IN     CONST ZPP_CHECK  *Check
  );

/**
  Prints the result of a check that did not run by ZppRunCheck().

  @param[in,out] Test      The test.
  @param[in]     Name      The check's name.
  @param[in]     Expected  The value that is right.
  @param[in]     Got       The value that is there.
**/
VOID
ZppReport (
  IN OUT ZPP_TEST     *Test,
  IN     CONST CHAR8  *Name,
  IN     UINT64       Expected,
  IN     UINT64       Got
  );

/**
  Gets the memory that the CPUs need.

  @param[in,out] Test  The test; its CPUs are known.

  @retval EFI_SUCCESS           It is there.
  @retval EFI_OUT_OF_RESOURCES  There is not enough.
**/
EFI_STATUS
ZppPrepareCpus (
  IN OUT ZPP_TEST  *Test
  );

#endif
