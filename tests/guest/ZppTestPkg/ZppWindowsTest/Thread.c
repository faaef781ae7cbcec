/** @file
  A thread that moves from CPU to CPU: the BSP starts an AP that runs it until it moves on.
**/
#include "Thread.h"

#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>

#define STACK_PAGES  6 // as in Windows

typedef struct {
  ZPP_THREAD_FUNCTION         Function;
  VOID                        *Context;
  UINT8                       *StackTop;
  volatile UINTN              Cpu;     ///< The CPU that runs it, or will.
  volatile BOOLEAN            Started;
  volatile BOOLEAN            Ended;
  BASE_LIBRARY_JUMP_BUFFER    Self;    ///< The thread's context.
  BASE_LIBRARY_JUMP_BUFFER    Host;    ///< The context of the CPU that runs it.
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
  Runs the thread on this CPU until it moves or ends.

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

UINTN
ZppThreadCpu (
  VOID
  )
{
  return mThread.Cpu;
}

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

    // No time limit: if an AP does not return, the test times out.
    Status = Cpus->Services->StartupThisAP (Cpus->Services, RunHere, mThread.Cpu, NULL, 0, NULL, NULL);
    if (EFI_ERROR (Status)) {
      return Status;
    }
  }

  FreePages (Stack, STACK_PAGES);
  return EFI_SUCCESS;
}
