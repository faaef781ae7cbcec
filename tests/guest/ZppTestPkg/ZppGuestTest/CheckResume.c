/** @file
  RFLAGS.RF ends with the instruction that it was set for, emulated or not: a breakpoint behind it is hit.
**/
#include "Checks.h"
#include "Apic.h"

#define MSR_EFER   0xc0000080
#define RFLAGS_TF  BIT8
#define RFLAGS_RF  BIT16
#define DR6_BS     BIT14
#define DR6_B0     BIT0
#define DR7_FIXED  BIT10
#define DR7_L0     BIT0

/// Runs an instruction with these flags set: RF, as after a breakpoint on it, and perhaps TF.
#define RUN_WITH_FLAGS(Next, Flags, Instruction, ...) \
  __asm__ volatile ("leaq 2f(%%rip), %0\n movq %0, %%dr0\n" \
                    "movq %%rsp, %%r8\n movl %%ss, %%r9d\n pushq %%r9\n pushq %%r8\n" \
                    "pushfq\n orq %1, (%%rsp)\n movl %%cs, %%r9d\n pushq %%r9\n" \
                    "leaq 1f(%%rip), %%r9\n pushq %%r9\n iretq\n" \
                    "1: " Instruction "\n 2: nop\n nop\n" \
                    : "=&r" (Next) : "r" ((UINT64)(Flags)), __VA_ARGS__ \
                    : "rbx", "rdx", "r8", "r9", "memory", "cc")

/// Checks what came after one instruction.
typedef
VOID
(*AFTER_ONE)(
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *What,
  IN     UINT64        Next
  );

/**
  Checks that exactly one breakpoint came.

  @param[in,out] Cpu   The CPU.
  @param[in]     What  The instruction before it.
  @param[in]     Next  The address of the breakpoint.
**/
STATIC
VOID
ExpectOneBreakpoint (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *What,
  IN     UINT64        Next
  )
{
  ZppExpect (Cpu, What, 1, Cpu->Faults->Count[VECTOR_DB]);
  ZppExpect (Cpu, What, Next, Cpu->Faults->Rip);
  ZppExpect (Cpu, "DR6.B0", DR6_B0, AsmReadDr6 () & DR6_B0);
  AsmWriteDr6 (0xffff0ff0);
  AsmWriteDr7 (DR7_FIXED | DR7_L0);
  Cpu->Faults->Count[VECTOR_DB] = 0;
}

/**
  Checks that a single-step trap came, and that RFLAGS.RF was clear again.

  @param[in,out] Cpu   The CPU.
  @param[in]     What  The instruction before it.
  @param[in]     Next  The address after it.
**/
STATIC
VOID
ExpectStepWithoutRf (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *What,
  IN     UINT64        Next
  )
{
  ZppExpect (Cpu, What, 1, Cpu->Faults->Count[VECTOR_DB]);
  ZppExpect (Cpu, What, Next, Cpu->Faults->Rip);
  ZppExpect (Cpu, "DR6.BS", DR6_BS, AsmReadDr6 () & DR6_BS);
  AsmWriteDr6 (0xffff0ff0);
  Cpu->Faults->Count[VECTOR_DB] = 0;
  ZppExpect (Cpu, "RFLAGS.RF", 0, Cpu->Faults->Rflags & RFLAGS_RF);
}

/**
  Runs instructions that zpp may emulate, with RFLAGS.RF set before each.

  @param[in,out] Cpu    The CPU.
  @param[in]     Flags  Those to set.
  @param[in]     Check  What to check after each.
**/
STATIC
VOID
RunEach (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Flags,
  IN     AFTER_ONE     Check
  )
{
  UINT64  Next;

  RUN_WITH_FLAGS (Next, Flags, "nop", "a" (0));
  Check (Cpu, "behind NOP", Next);
  RUN_WITH_FLAGS (Next, Flags, "cpuid", "a" (0), "c" (0));
  Check (Cpu, "behind CPUID", Next);
  RUN_WITH_FLAGS (Next, Flags, "cpuid", "a" (7), "c" (0));
  Check (Cpu, "behind CPUID of leaf 7", Next);
  RUN_WITH_FLAGS (Next, Flags, "rdmsr", "a" (0), "c" (MSR_EFER));
  Check (Cpu, "behind RDMSR", Next);
  if (!ZppApicIsX2 ()) {
    RUN_WITH_FLAGS (
      Next,
      Flags,
      "movl %%eax, (%%rcx)",
      "a" (ZppApicRead (APIC_TPR)),
      "c" (ZppApicEoiAddress () - APIC_EOI + APIC_TPR)
      );
    Check (Cpu, "behind a store to the local APIC", Next);
  }
}

STATIC
VOID
ResumeFlagEnds (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  RunEach (Cpu, RFLAGS_RF | RFLAGS_TF, ExpectStepWithoutRf);
  AsmWriteDr0 (0);
}

STATIC
VOID
BreakpointBehind (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  if (Cpu->Test->Options.Breakpoints == 0) {
    ZppSkip (Cpu);
    return;
  }

  AsmWriteDr7 (DR7_FIXED | DR7_L0);
  RunEach (Cpu, RFLAGS_RF, ExpectOneBreakpoint);
  AsmWriteDr7 (DR7_FIXED);
  AsmWriteDr0 (0);
}

CONST ZPP_CHECK  gZppResumeChecks[] = {
  { "RF ends with an instruction",      CheckAlways, ResumeFlagEnds   },
  { "breakpoint behind an instruction", CheckAlways, BreakpointBehind },
  { NULL }
};
