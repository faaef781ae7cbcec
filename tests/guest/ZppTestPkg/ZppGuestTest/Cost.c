/** @file
  The cost of a VM exit. On Bochs with one CPU, one TSC tick is one instruction.
**/
#include "Checks.h"

#include <Library/BaseLib.h>
#include <Library/UefiLib.h>

#define ROUNDS  1000u

/**
  Runs CPUID in a loop.

  @return TSC ticks.
**/
STATIC
UINT64
TimeCpuids (
  VOID
  )
{
  UINT64  Start;
  UINT32  Round;
  UINT32  Eax;
  UINT32  Ecx;

  Start = AsmReadTsc ();
  for (Round = ROUNDS; Round != 0; Round--) {
    Eax = 0;
    Ecx = 0;
    __asm__ volatile ("cpuid" : "+a" (Eax), "+c" (Ecx) : : "rbx", "rdx");
  }

  return AsmReadTsc () - Start;
}

/**
  Runs the same loop with a NOP for CPUID.

  @return TSC ticks.
**/
STATIC
UINT64
TimeNops (
  VOID
  )
{
  UINT64  Start;
  UINT32  Round;
  UINT32  Eax;
  UINT32  Ecx;

  Start = AsmReadTsc ();
  for (Round = ROUNDS; Round != 0; Round--) {
    Eax = 0;
    Ecx = 0;
    __asm__ volatile ("nop" : "+a" (Eax), "+c" (Ecx) : : "rbx", "rdx");
  }

  return AsmReadTsc () - Start;
}

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
