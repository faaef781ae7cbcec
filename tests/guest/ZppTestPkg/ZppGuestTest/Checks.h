/** @file
  The checks, one table for each subject.
**/
#ifndef ZPP_TEST_CHECKS_H_
#define ZPP_TEST_CHECKS_H_

#include "Test.h"

/// A table of checks, ended by one without a name.
extern CONST ZPP_CHECK  gZppIdentityChecks[];
extern CONST ZPP_CHECK  gZppCpuidChecks[];
extern CONST ZPP_CHECK  gZppMsrChecks[];
extern CONST ZPP_CHECK  gZppControlChecks[];
extern CONST ZPP_CHECK  gZppXcr0Checks[];
extern CONST ZPP_CHECK  gZppInstructionChecks[];
extern CONST ZPP_CHECK  gZppTrapChecks[];
extern CONST ZPP_CHECK  gZppHypercallChecks[];
extern CONST ZPP_CHECK  gZppMemoryChecks[];

/**
  Finds what the memory checks look at, while boot services may be called.

  @param[in] Test  The test.
**/
VOID
ZppPrepareMemoryChecks (
  IN CONST ZPP_TEST  *Test
  );

/**
  Switches all local APICs to x2APIC mode. Runs on the BSP.

  @param[in,out] Test  The test.
**/
VOID
ZppEnterX2Apic (
  IN OUT ZPP_TEST  *Test
  );

/**
  Checks that CPUs can be started, stopped and started again. Runs on the BSP.

  @param[in,out] Test  The test.
**/
VOID
ZppCheckProcessors (
  IN OUT ZPP_TEST  *Test
  );

/**
  Measures what CPUID costs, and prints it.
**/
VOID
ZppMeasureCost (
  VOID
  );

#endif
