/** @file
  A thread that moves from CPU to CPU, as in Windows.
**/
#ifndef ZPP_TEST_THREAD_H_
#define ZPP_TEST_THREAD_H_

#include <Uefi.h>
#include "Cpus.h"

/**
  The thread's function. It runs on its own stack, first on the BSP.

  @param[in,out] Context  The Context of ZppRunThread().
**/
typedef
VOID
(*ZPP_THREAD_FUNCTION) (
  IN OUT VOID  *Context
  );

/**
  Runs a function as the only thread, until it returns.

  @param[in]     Cpus      The machine's CPUs; this one is the BSP.
  @param[in]     Function  The function.
  @param[in,out] Context   Passed to Function.

  @retval EFI_SUCCESS           The function returned.
  @retval EFI_OUT_OF_RESOURCES  There is no memory for the stack.
  @retval other                 The MP services' error; the thread did not end.
**/
EFI_STATUS
ZppRunThread (
  IN     CONST ZPP_CPUS       *Cpus,
  IN     ZPP_THREAD_FUNCTION  Function,
  IN OUT VOID                 *Context
  );

/**
  Continues on another CPU. Only for the thread, which may call boot services only on the BSP.

  @param[in] Cpu  The CPU's number.
**/
VOID
ZppMoveThread (
  IN UINTN  Cpu
  );

/**
  Gets the CPU that runs the thread.

  @return The CPU's number.
**/
UINTN
ZppThreadCpu (
  VOID
  );

#endif
