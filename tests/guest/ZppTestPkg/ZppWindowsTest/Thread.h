/** @file
  A thread that goes from CPU to CPU, as one does in Windows.
**/
#ifndef ZPP_TEST_THREAD_H_
#define ZPP_TEST_THREAD_H_

#include <Uefi.h>
#include "Cpus.h"

/**
  What the thread runs, on a stack of its own, first on the BSP.

  @param[in,out] Context  What was given to ZppRunThread().
**/
typedef
VOID
(*ZPP_THREAD_FUNCTION) (
  IN OUT VOID  *Context
  );

/**
  Runs a function as the one thread there is, to its end.

  @param[in]     Cpus      The machine's CPUs; this one is the BSP.
  @param[in]     Function  What to run.
  @param[in,out] Context   Given to Function.

  @retval EFI_SUCCESS           The function has ended.
  @retval EFI_OUT_OF_RESOURCES  There is no memory for the stack.
  @retval other                 What the MP services returned; the thread never ended.
**/
EFI_STATUS
ZppRunThread (
  IN     CONST ZPP_CPUS       *Cpus,
  IN     ZPP_THREAD_FUNCTION  Function,
  IN OUT VOID                 *Context
  );

/**
  Called by the thread: goes on, on another CPU. Boot services are for the BSP only.

  @param[in] Cpu  The CPU's number.
**/
VOID
ZppMoveThread (
  IN UINTN  Cpu
  );

/**
  Called by the thread: the CPU it runs on.

  @return The CPU's number.
**/
UINTN
ZppThreadCpu (
  VOID
  );

#endif
