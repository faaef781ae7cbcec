/** @file
  The end of a test program.
**/
#ifndef ZPP_TEST_VERDICT_H_
#define ZPP_TEST_VERDICT_H_

#include <Uefi.h>

/**
  Prints the verdict: "ZPP-TEST: PASS" or "ZPP-TEST: FAIL n".

  @param[in] Failures  The number of failures.
**/
VOID
ZppPrintVerdict (
  IN UINTN  Failures
  );

/**
  Turns the machine off, after the serial port has sent the last line. Returns only if that fails.
**/
VOID
ZppPowerOff (
  VOID
  );

#endif
