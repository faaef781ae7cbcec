/** @file
  The functions of the Windows kernel that the driver calls, on UEFI.
**/
#ifndef ZPP_TEST_KERNEL_H_
#define ZPP_TEST_KERNEL_H_

#include <Uefi.h>
#include "Cpus.h"

typedef UINT32 NTSTATUS;

/// What the driver left behind.
typedef struct {
  UINTN     PoolBlocks;     ///< Allocated and not freed.
  UINTN     Ranges;         ///< Contiguous, allocated and not freed.
  UINTN     Handles;        ///< Opened and not closed.
  CHAR16    Result[400];    ///< The registry's value Result.
} ZPP_KERNEL_TRACE;

/**
  Makes the kernel ready for another start of the driver.

  @param[in] Cpus      The machine's CPUs; number 0 is the BSP.
  @param[in] RefuseAt  The how-many-eth question for a CPU's number is answered by an error; 0: none.
**/
VOID
ZppResetKernel (
  IN CONST ZPP_CPUS  *Cpus,
  IN UINTN           RefuseAt
  );

/**
  Finds a function.

  @param[in] Name  Its name, as in the driver's imports.

  @return The function, by Microsoft's calling convention, or NULL.
**/
VOID *
ZppKernelFunction (
  IN CONST CHAR8  *Name
  );

/**
  What the driver left behind since ZppResetKernel().

  @return The trace.
**/
CONST ZPP_KERNEL_TRACE *
ZppKernelTrace (
  VOID
  );

#endif
