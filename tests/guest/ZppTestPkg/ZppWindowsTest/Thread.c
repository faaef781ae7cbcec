/** @file
  A thread that goes from CPU to CPU: the BSP has an AP run it, and gets it back when it leaves.
**/
#include "Thread.h"

#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>

#define STACK_PAGES  6 // as many as in Windows

typedef struct {
  ZPP_THREAD_FUNCTION         Function;
  VOID                        *Context;
  UINT8                       *StackTop;
  volatile UINTN              Cpu;     ///< Where it runs, or is to run.
  volatile BOOLEAN            Started;
  volatile BOOLEAN            Ended;
  BASE_LIBRARY_JUMP_BUFFER    Self;    ///< Where it goes on.
  BASE_LIBRARY_JUMP_BUFFER    Host;    ///< Where the CPU goes on that ran it.
} THREAD;

STATIC THREAD  mThread;

/**
  The thread's first function.

  @param[in,out] Context1  Not used.
  @param[in,out] Context2  Not used.
**/
STATIC
VOID
EFIAPI
Start (
  IN OUT VOID  *Context1,
  IN OUT VOID  *Context2
  )
{
  mThread.Function (mThread.Context);
  mThread.Ended = TRUE;
  LongJump (&mThread.Host, 1);
}

/**
  Runs the thread on this CPU until it leaves.

  @param[in,out] Buffer  Not used.
**/
STATIC
VOID
EFIAPI
RunHere (
  IN OUT VOID  *Buffer
  )
{
  if (SetJump (&mThread.Host) != 0) {
    return;
  }

  if (mThread.Started) {
    LongJump (&mThread.Self, 1);
  }

  mThread.Started = TRUE;
  SwitchStack (Start, NULL, NULL, mThread.StackTop);
}

/**
  Called by the thread: goes on, on another CPU. Boot services are for the BSP only.

  @param[in] Cpu  The CPU's number.
**/
VOID
ZppMoveThread (
  IN UINTN  Cpu
  )
{
  mThread.Cpu = Cpu;
  if (SetJump (&mThread.Self) == 0) {
    LongJump (&mThread.Host, 1);
  }
}

/**
  Called by the thread: the CPU it runs on.

  @return The CPU's number.
**/
UINTN
ZppThreadCpu (
  VOID
  )
{
  return mThread.Cpu;
}

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
  )
{
  EFI_STATUS  Status;
  UINT8       *Stack;

  Stack = AllocatePages (STACK_PAGES);
  if (Stack == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  mThread.Function = Function;
  mThread.Context  = Context;
  mThread.StackTop = Stack + EFI_PAGES_TO_SIZE (STACK_PAGES);
  mThread.Cpu      = Cpus->Bsp;
  mThread.Started  = FALSE;
  mThread.Ended    = FALSE;
  while (!mThread.Ended) {
    if (mThread.Cpu == Cpus->Bsp) {
      RunHere (NULL);
      continue;
    }

    // Without a time limit: an AP that does not come back is a failed test.
    Status = Cpus->Services->StartupThisAP (Cpus->Services, RunHere, mThread.Cpu, NULL, 0, NULL, NULL);
    if (EFI_ERROR (Status)) {
      return Status;
    }
  }

  FreePages (Stack, STACK_PAGES);
  return EFI_SUCCESS;
}
