/** @file
  The checks, one table per subject.
**/
#ifndef ZPP_TEST_CHECKS_H_
#define ZPP_TEST_CHECKS_H_

#include "Puppet.h"
#include "Test.h"

/// Tables of checks. An entry without a name ends each.
extern CONST ZPP_CHECK  gZppIdentityChecks[];
extern CONST ZPP_CHECK  gZppCpuidChecks[];
extern CONST ZPP_CHECK  gZppMsrChecks[];
extern CONST ZPP_CHECK  gZppMicrocodeChecks[];
extern CONST ZPP_CHECK  gZppRoutingChecks[];
extern CONST ZPP_CHECK  gZppControlChecks[];
extern CONST ZPP_CHECK  gZppXcr0Checks[];
extern CONST ZPP_CHECK  gZppInstructionChecks[];
extern CONST ZPP_CHECK  gZppTrapChecks[];
extern CONST ZPP_CHECK  gZppNmiChecks[];
extern CONST ZPP_CHECK  gZppResumeChecks[];
extern CONST ZPP_CHECK  gZppXapicChecks[];
extern CONST ZPP_CHECK  gZppHypercallChecks[];
extern CONST ZPP_CHECK  gZppMemoryChecks[];

/**
  Finds the memory that the memory checks use. Calls boot services.

  @param[in] Test  The test.
**/
VOID
ZppPrepareMemoryChecks (
  IN CONST ZPP_TEST  *Test
  );

/**
  Switches all local APICs to x2APIC mode, the BSP's last, because it starts the others. After that the
  firmware sends IPIs through the ICR's MSR. Runs on the BSP.

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
  Checks an AP in real mode and in 32-bit protected mode. Runs on the BSP, and leaves the AP halted until the firmware
  starts it again.

  @param[in,out] Test  The test.
**/
VOID
ZppCheckModes (
  IN OUT ZPP_TEST  *Test
  );

/**
  Checks INIT and SIPI, which this program sends itself. The firmware cannot use the APs after that. Runs
  on the BSP.

  @param[in,out] Test  The test.
**/
VOID
ZppCheckStartup (
  IN OUT ZPP_TEST  *Test
  );

/**
  Checks the state of an AP's local APIC after an INIT. Runs on the BSP.

  @param[in,out] Test    The test.
  @param[in]     Puppet  The AP, which runs.
**/
VOID
ZppCheckApicInit (
  IN OUT ZPP_TEST          *Test,
  IN     CONST ZPP_PUPPET  *Puppet
  );

/**
  Waits for a machine check, and checks it. Runs on every CPU.

  @param[in,out] Test  The test.
**/
VOID
ZppCheckMachineCheck (
  IN OUT ZPP_TEST  *Test
  );

/**
  Measures and prints the cost of CPUID.
**/
VOID
ZppMeasureCost (
  VOID
  );

#endif
