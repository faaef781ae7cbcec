/** @file
  The cost of a VM exit. On Bochs with one CPU, one TSC tick is one instruction.
**/
#include "Checks.h"

#include <Library/BaseLib.h>
#include <Library/UefiLib.h>

#define ROUNDS  1000u

/// Defines a function that returns the TSC ticks of a loop over an instruction.
#define DEFINE_TIMER(Name, Instruction) \
  STATIC UINT64 Name (VOID) { \
    UINT64  Start; \
    UINT32  Round; \
    UINT32  Eax; \
    UINT32  Ecx; \
    Start = AsmReadTsc (); \
    for (Round = ROUNDS; Round != 0; Round--) { \
      Eax = 0; \
      Ecx = 0; \
      __asm__ volatile (Instruction : "+a" (Eax), "+c" (Ecx) : : "rbx", "rdx"); \
    } \
    return AsmReadTsc () - Start; \
  }

DEFINE_TIMER (TimeCpuids, "cpuid")
DEFINE_TIMER (TimeNops, "nop")

VOID
ZppMeasureCost (
  VOID
  )
{
  UINT64   Nops;
  UINT64   Cpuids;
  BOOLEAN  Interrupts;

  Interrupts = SaveAndDisableInterrupts ();
  Nops       = TimeNops ();
  Cpuids     = TimeCpuids ();
  SetInterruptState (Interrupts);
  Print (L"CPUID: %ld ticks\n", Cpuids > Nops ? (Cpuids - Nops) / ROUNDS : 0);
}
