/** @file
  Privileged instructions that may fault, and CPUID with 64-bit registers.
**/
#ifndef ZPP_TEST_PRIMITIVES_H_
#define ZPP_TEST_PRIMITIVES_H_

#include "Test.h"

/// What ZppMaskInterrupts() has changed.
typedef struct {
  UINT64    Cr8;
  UINT16    Pic;
} ZPP_MASKS;

/**
  Masks all interrupts but those of the tests, whose vectors are 0xf0 and above.

  @param[in]  Cpu    The CPU.
  @param[out] Masks  The former masks.
**/
VOID
ZppMaskInterrupts (
  IN  CONST ZPP_TEST_CPU  *Cpu,
  OUT ZPP_MASKS           *Masks
  );

/**
  Reverts ZppMaskInterrupts().

  @param[in] Cpu    The CPU.
  @param[in] Masks  The former masks.
**/
VOID
ZppUnmaskInterrupts (
  IN CONST ZPP_TEST_CPU  *Cpu,
  IN CONST ZPP_MASKS     *Masks
  );

typedef struct {
  UINT64    Rax;
  UINT64    Rbx;
  UINT64    Rcx;
  UINT64    Rdx;
} ZPP_CPUID;

/**
  Executes CPUID with 64-bit inputs and outputs.

  @param[in] Rax  The leaf.
  @param[in] Rcx  The sub-leaf.

  @return The registers.
**/
ZPP_CPUID
ZppCpuid (
  IN UINT64  Rax,
  IN UINT64  Rcx
  );

/**
  Reads an MSR that may not exist.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The MSR.
  @param[out]    Value  Its value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppReadMsr (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  OUT    UINT64        *Value
  );

/**
  Writes an MSR, which may fault.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The MSR.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppWriteMsr (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  IN     UINT64        Value
  );

/**
  Writes CR0, which may fault.

  @param[in,out] Cpu    The CPU.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppWriteCr0 (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Value
  );

/**
  Writes CR4, which may fault.

  @param[in,out] Cpu    The CPU.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppWriteCr4 (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Value
  );

/**
  Executes XSETBV, which may fault.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The extended control register.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppXsetbv (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  IN     UINT64        Value
  );

/**
  Reads XCR0 with XGETBV. CR4.OSXSAVE must be set.

  @return XCR0.
**/
UINT64
ZppXgetbv (
  VOID
  );

#endif
