/** @file
  Single steps, interrupt shadows, NMIs and breakpoints, which emulation must not disturb.
**/
#include "Checks.h"
#include "Apic.h"
#include "Primitives.h"

#include <Library/IoLib.h>

#define MSR_DEBUGCTL       0x1d9
#define DEBUGCTL_BTF       BIT1
#define DR6_BS             BIT14
#define DR6_B0             BIT0
#define DR7_FIXED          BIT10
#define DR7_L0             BIT0
#define DR7_WRITE_8_AT_0   (9ull << 16)
#define TEST_VECTOR        0xf3
#define CR8_ONLY_TEST      14
#define PIC_MASK_PORT      0x21
#define PIC2_MASK_PORT     0xa1
#define CR4_TSD            BIT2
#define CR4_OSXSAVE        BIT18
#define CPUID_1_ECX_XSAVE  BIT26

/// Sets the trap flag: the trap comes after the next instruction.
#define SET_TRAP_FLAG  "pushfq\n orq $0x100, (%%rsp)\n popfq\n"

/**
  Checks that exactly one single-step trap came, right after the instruction.

  @param[in,out] Cpu   The CPU.
  @param[in]     What  The instruction.
  @param[in]     Next  The address after it.
**/
STATIC
VOID
ExpectOneStep (
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
}

STATIC
VOID
StepOverCpuid (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Next;

  __asm__ volatile ("leaq 1f(%%rip), %0\n" SET_TRAP_FLAG "cpuid\n 1: nop\n nop\n"
                    : "=&r" (Next) : "a" (0), "c" (0) : "rbx", "rdx", "memory", "cc");
  ExpectOneStep (Cpu, "step over CPUID", Next);
}

STATIC
VOID
StepOverMsr (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Next;

  // The trap must come whether IA32_MTRRCAP is passed through or emulated.
  __asm__ volatile ("leaq 1f(%%rip), %0\n" SET_TRAP_FLAG "rdmsr\n 1: nop\n nop\n"
                    : "=&r" (Next) : "c" (0xfe) : "rax", "rdx", "memory", "cc");
  ExpectOneStep (Cpu, "step over RDMSR", Next);
}

STATIC
VOID
StepOverControl (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Next;
  UINT64  Cr4;
  UINT64  Changed;

  // A bit that the core intercepts, if the CPU has one.
  Changed = (ZppCpuid (1, 0).Rcx & CPUID_1_ECX_XSAVE) != 0 ? CR4_OSXSAVE : CR4_TSD;
  Cr4     = AsmReadCr4 ();
  __asm__ volatile ("leaq 1f(%%rip), %0\n" SET_TRAP_FLAG "movq %1, %%cr4\n 1: nop\n nop\n"
                    : "=&r" (Next) : "r" (Cr4 ^ Changed) : "memory", "cc");
  ExpectOneStep (Cpu, "step over MOV CR4", Next);
  AsmWriteCr4 (Cr4);

  __asm__ volatile ("leaq 1f(%%rip), %0\n" SET_TRAP_FLAG "wbinvd\n 1: nop\n nop\n"
                    : "=&r" (Next) : : "memory", "cc");
  ExpectOneStep (Cpu, "step over WBINVD", Next);
}

STATIC
VOID
StepInMovSsShadow (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Next;

  // MOV SS delays the trap until after the next instruction.
  __asm__ volatile ("leaq 1f(%%rip), %0\n movl %%ss, %%esi\n" SET_TRAP_FLAG "movl %%esi, %%ss\n cpuid\n 1: nop\n nop\n"
                    : "=&r" (Next) : "a" (0), "c" (0) : "rbx", "rdx", "rsi", "memory", "cc");
  ExpectOneStep (Cpu, "step over MOV SS, CPUID", Next);
}

/**
  Masks all interrupts but the test's own.

  @param[out] Masks  The PICs' former masks.

  @return The former CR8.
**/
STATIC
UINT64
MaskInterrupts (
  OUT UINT16  *Masks
  )
{
  UINT64  Cr8;

  *Masks = (UINT16)(IoRead8 (PIC_MASK_PORT) | (IoRead8 (PIC2_MASK_PORT) << 8));
  IoWrite8 (PIC_MASK_PORT, 0xff);
  IoWrite8 (PIC2_MASK_PORT, 0xff);
  __asm__ volatile ("movq %%cr8, %0" : "=r" (Cr8));
  __asm__ volatile ("movq %0, %%cr8" : : "r" ((UINT64)CR8_ONLY_TEST));
  return Cr8;
}

/**
  Reverts MaskInterrupts().

  @param[in] Cr8    The former CR8.
  @param[in] Masks  The PICs' former masks.
**/
STATIC
VOID
UnmaskInterrupts (
  IN UINT64  Cr8,
  IN UINT16  Masks
  )
{
  __asm__ volatile ("movq %0, %%cr8" : : "r" (Cr8));
  IoWrite8 (PIC_MASK_PORT, (UINT8)Masks);
  IoWrite8 (PIC2_MASK_PORT, (UINT8)(Masks >> 8));
}

STATIC
VOID
InterruptInStiShadow (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Next;
  UINT64  Cr8;
  UINT16  Masks;

  // Only the BSP masks the PICs: an AP could save the BSP's temporary masks.
  if (Cpu->Cpu != Cpu->Test->Bsp) {
    __asm__ volatile ("movq %%cr8, %0" : "=r" (Cr8));
    __asm__ volatile ("movq %0, %%cr8" : : "r" ((UINT64)CR8_ONLY_TEST));
    Masks = 0;
  } else {
    Cr8 = MaskInterrupts (&Masks);
  }

  ZppApicInterruptSelf (TEST_VECTOR);
  __asm__ volatile ("leaq 1f(%%rip), %0\n sti\n cpuid\n 1: nop\n nop\n nop\n cli\n"
                    : "=&r" (Next) : "a" (0), "c" (0) : "rbx", "rdx", "memory", "cc");
  ZppExpect (Cpu, "interrupts", 1, Cpu->Faults->Count[TEST_VECTOR]);
  ZppExpect (Cpu, "RIP after STI, CPUID", Next, Cpu->Faults->Rip);

  if (Cpu->Cpu != Cpu->Test->Bsp) {
    __asm__ volatile ("movq %0, %%cr8" : : "r" (Cr8));
  } else {
    UnmaskInterrupts (Cr8, Masks);
  }
}

STATIC
VOID
Nmi (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINTN  Round;
  UINTN  Wait;

  for (Round = 1; Round <= 3; Round++) {
    ZppApicNmiSelf ();
    for (Wait = 0; (Wait < 1000) && (Cpu->Faults->Count[VECTOR_NMI] < Round); Wait++) {
      CpuPause ();
    }

    ZppExpect (Cpu, "NMIs", Round, Cpu->Faults->Count[VECTOR_NMI]);
    ZppCpuid (0, 0);
    ZppExpect (Cpu, "NMIs after an exit", Round, Cpu->Faults->Count[VECTOR_NMI]);
  }
}

STATIC
VOID
DebugRegisters (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  volatile UINT64  Watched;

  AsmWriteDr0 ((UINTN)&Watched);
  AsmWriteDr6 (0xffff0ff0);
  AsmWriteDr7 (DR7_FIXED | DR7_L0 | DR7_WRITE_8_AT_0);
  ZppCpuid (0, 0);
  ZppExpect (Cpu, "DR0 after an exit", (UINTN)&Watched, AsmReadDr0 ());
  ZppExpect (Cpu, "DR7 after an exit", DR7_FIXED | DR7_L0 | DR7_WRITE_8_AT_0, AsmReadDr7 ());

  Watched = 1;
  AsmWriteDr7 (DR7_FIXED);
  ZppExpect (Cpu, "#DBs by a watched write", 1, Cpu->Faults->Count[VECTOR_DB]);
  ZppExpect (Cpu, "DR6.B0", DR6_B0, AsmReadDr6 () & DR6_B0);
  AsmWriteDr6 (0xffff0ff0);
  AsmWriteDr0 (0);
}

STATIC
VOID
DebugControl (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Before;
  UINT64  Value;

  // Not every emulator implements it.
  if ((ZppReadMsr (Cpu, MSR_DEBUGCTL, &Before) != VECTOR_NONE) ||
      (ZppWriteMsr (Cpu, MSR_DEBUGCTL, Before | DEBUGCTL_BTF) != VECTOR_NONE))
  {
    ZppSkip (Cpu);
    return;
  }

  ZppReadMsr (Cpu, MSR_DEBUGCTL, &Value);
  if (Value == (Before | DEBUGCTL_BTF)) {
    ZppCpuid (0, 0);
    ZppReadMsr (Cpu, MSR_DEBUGCTL, &Value);
    ZppExpect (Cpu, "DEBUGCTL after an exit", Before | DEBUGCTL_BTF, Value);
  } else {
    ZppSkip (Cpu);
  }

  ZppWriteMsr (Cpu, MSR_DEBUGCTL, Before);
}

/**
  Reads an address that is not mapped.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
ReadUnmapped (
  IN OUT VOID  *Argument
  )
{
  *(volatile UINT8 *)0x0000700000000000ull;
}

/**
  Reads a non-canonical address.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
ReadNonCanonical (
  IN OUT VOID  *Argument
  )
{
  *(volatile UINT8 *)0x4000000000000000ull;
}

/**
  Divides by zero.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
DivideByZero (
  IN OUT VOID  *Argument
  )
{
  __asm__ volatile ("xorl %%ecx, %%ecx\n divl %%ecx" : : "a" (1), "d" (0) : "ecx", "cc");
}

STATIC
VOID
Exceptions (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZppExpect (Cpu, "an unmapped address", VECTOR_PF, ZppGuardedCall (Cpu->Faults, ReadUnmapped, NULL));
  ZppExpect (Cpu, "CR2", 0x0000700000000000ull, AsmReadCr2 ());
  ZppExpect (Cpu, "a non-canonical address", VECTOR_GP, ZppGuardedCall (Cpu->Faults, ReadNonCanonical, NULL));
  ZppExpect (Cpu, "a division by zero", VECTOR_DE, ZppGuardedCall (Cpu->Faults, DivideByZero, NULL));
  __asm__ volatile ("int3");
  ZppExpect (Cpu, "INT3", 1, Cpu->Faults->Count[VECTOR_BP]);
  __asm__ volatile ("int $0x81");
  ZppExpect (Cpu, "INT 0x81", 1, Cpu->Faults->Count[0x81]);
}

CONST ZPP_CHECK  gZppTrapChecks[] = {
  { "exceptions and software interrupts",  CheckAlways, Exceptions           },
  { "single step over CPUID",              CheckAlways, StepOverCpuid        },
  { "single step over RDMSR",              CheckAlways, StepOverMsr          },
  { "single step over MOV CR4 and WBINVD", CheckAlways, StepOverControl      },
  { "single step in the shadow of MOV SS", CheckAlways, StepInMovSsShadow    },
  { "interrupt in the shadow of STI",      CheckAlways, InterruptInStiShadow },
  { "an NMI to itself arrives once",       CheckAlways, Nmi                  },
  { "debug registers are preserved",       CheckAlways, DebugRegisters       },
  { "IA32_DEBUGCTL is preserved",          CheckAlways, DebugControl         },
  { NULL }
};
