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

/// The test's state, shared by all CPUs.
typedef struct {
  ZPP_OPTIONS                 Options;
  EFI_MP_SERVICES_PROTOCOL    *Mp;
  UINTN                       CpuCount;
  UINTN                       Bsp;
  UINTN                       Failures;
} ZPP_TEST;

/// One CPU, and its result of the current check.
typedef struct {
  ZPP_TEST          *Test;
  UINTN             Cpu;
  ZPP_FAULT_AREA    *Area;
  ZPP_FAULTS        *Faults;

  BOOLEAN           Ran;
  BOOLEAN           Skipped;
  BOOLEAN           Failed;
  CHAR8             What[ZPP_TEXT_MAX]; ///< The name of the value that failed first.
  UINT64            Expected;
  UINT64            Got;
} ZPP_TEST_CPU;

/**
  A check. It runs with interrupts disabled and the test's own IDT, and must not call boot services.

  @param[in,out] Cpu  The current CPU; receives the result.
**/
typedef
VOID
(*ZPP_CHECK_FUNCTION)(
  IN OUT ZPP_TEST_CPU  *Cpu
  );

typedef enum {
  CheckAlways,
  CheckZpp,    ///< Only under zpp.
  CheckBare,    ///< Only on a bare machine.
  CheckVtx, ///< Only under zpp with VT-x.
  CheckAmdv, ///< Only under zpp with AMD-V.
} ZPP_CHECK_WHEN;

typedef struct {
  CONST CHAR8           *Name;
  ZPP_CHECK_WHEN        When;
  ZPP_CHECK_FUNCTION    Function;
} ZPP_CHECK;

/**
  Records a failure if two values differ. Keeps only a check's first failure.

  @param[in,out] Cpu       The CPU.
  @param[in]     What      The values' name.
  @param[in]     Expected  The expected value.
  @param[in]     Got       The actual value.
**/
VOID
ZppExpect (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *What,
  IN     UINT64        Expected,
  IN     UINT64        Got
  );

/**
  Records that the check does not apply to this CPU.

  @param[in,out] Cpu  The CPU.
**/
VOID
ZppSkip (
  IN OUT ZPP_TEST_CPU  *Cpu
  );

/**
  Checks whether the test expects zpp.

  @param[in] Test  The test.

  @retval TRUE   It does.
  @retval FALSE  It expects a bare machine.
**/
BOOLEAN
ZppExpectsZpp (
  IN CONST ZPP_TEST  *Test
  );

/**
  Runs a check on all APs at once and then on the BSP, and prints the result.

  @param[in,out] Test   The test.
  @param[in]     Check  The check.
**/
VOID
ZppRunCheck (
  IN OUT ZPP_TEST         *Test,
  IN     CONST ZPP_CHECK  *Check
  );

/**
  Compares two values and prints the result, for checks outside ZppRunCheck().

  @param[in,out] Test      The test.
  @param[in]     Name      The check's name.
  @param[in]     Expected  The expected value.
  @param[in]     Got       The actual value.
**/
VOID
ZppReport (
  IN OUT ZPP_TEST     *Test,
  IN     CONST CHAR8  *Name,
  IN     UINT64       Expected,
  IN     UINT64       Got
  );

/**
  Allocates the per-CPU state.

  @param[in,out] Test  The test; its CPUs are known.

  @retval EFI_SUCCESS           It is allocated.
  @retval EFI_OUT_OF_RESOURCES  There is not enough memory.
**/
EFI_STATUS
ZppPrepareCpus (
  IN OUT ZPP_TEST  *Test
  );

#endif
