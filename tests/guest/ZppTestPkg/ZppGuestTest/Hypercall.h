/** @file
  Hypercalls.
**/
#ifndef ZPP_TEST_HYPERCALL_H_
#define ZPP_TEST_HYPERCALL_H_

#include "Test.h"

#include <zpp/hypercall.h>

typedef struct {
  UINT64    Rax;
  UINT64    Rbx;
  UINT64    Rcx;
  UINT64    Rdx;
  UINT64    Rsi;
} ZPP_REGISTERS;

/**
  Makes a hypercall with the instruction of the expected vendor.

  @param[in]     Test       The test.
  @param[in,out] Registers  Arguments, and results.
**/
VOID
ZppHypercall (
  IN     CONST ZPP_TEST  *Test,
  IN OUT ZPP_REGISTERS   *Registers
  );

/**
  Makes a hypercall with two arguments.

  @param[in] Test    The test.
  @param[in] Number  Its number.
  @param[in] Rbx     The first argument.
  @param[in] Rcx     The second.

  @return The results.
**/
ZPP_REGISTERS
ZppCall (
  IN CONST ZPP_TEST  *Test,
  IN UINT32          Number,
  IN UINT64          Rbx,
  IN UINT64          Rcx
  );

#endif
