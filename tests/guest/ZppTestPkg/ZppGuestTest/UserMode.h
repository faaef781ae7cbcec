/** @file
  Code in other modes than the firmware's: 32-bit code, and CPL 3.
**/
#ifndef ZPP_TEST_USER_MODE_H_
#define ZPP_TEST_USER_MODE_H_

#include "Test.h"

/**
  Allocates what the functions here need. Calls boot services.

  @param[in,out] Test  The test.

  @retval EFI_SUCCESS           It is allocated.
  @retval EFI_OUT_OF_RESOURCES  There is not enough memory.
**/
EFI_STATUS
ZppPrepareModes (
  IN OUT ZPP_TEST  *Test
  );

/**
  Executes CPUID in 32-bit code.

  @param[in] Cpu   The CPU.
  @param[in] Leaf  The leaf.

  @return EDX.
**/
UINT32
ZppCpuidEdxIn32BitCode (
  IN CONST ZPP_TEST_CPU  *Cpu,
  IN UINT32              Leaf
  );

/**
  Calls a function at CPL 3.

  @param[in,out] Cpu       The CPU.
  @param[in]     Function  The function. Its argument is NULL.

  @return The vector of the fault, or VECTOR_NONE if the function has returned.
**/
UINT64
ZppUserCall (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     ZPP_GUARDED   Function
  );

#endif
