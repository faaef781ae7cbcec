/** @file
  The functions of the Windows kernel that the driver calls, on UEFI.
**/
#ifndef ZPP_TEST_KERNEL_H_
#define ZPP_TEST_KERNEL_H_

#include <Uefi.h>
#include "Cpus.h"

typedef UINT32 NTSTATUS;

/// What the driver has not released, and its result.
typedef struct {
  UINTN     PoolBlocks;     ///< Pool blocks not freed.
  UINTN     Ranges;         ///< Contiguous ranges not freed.
  UINTN     Handles;        ///< Handles not closed.
  CHAR16    Result[400];    ///< The registry value Result.
} ZPP_KERNEL_STATE;

/**
  Resets the kernel for another start of the driver.

  @param[in] Cpus      The machine's CPUs; number 0 is the BSP.
  @param[in] RefuseAt  The call of KeGetProcessorNumberFromIndex() that fails, from 1; 0 for none.
**/
VOID
ZppResetKernel (
  IN CONST ZPP_CPUS  *Cpus,
  IN UINTN           RefuseAt
  );

/**
  Finds a function of the kernel.

  @param[in] Name  Its name, as in the driver's imports.

  @return The function, or NULL.
**/
VOID *
ZppKernelFunction (
  IN CONST CHAR8  *Name
  );

/**
  Gets what the driver has not released since ZppResetKernel().

  @return The state.
**/
CONST ZPP_KERNEL_STATE *
ZppKernelState (
  VOID
  );

#endif
