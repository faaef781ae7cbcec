/** @file
  CR0, CR4 and CR8.
**/
#include "Checks.h"
#include "Primitives.h"

#define CR0_PE          BIT0
#define CR0_MP          BIT1
#define CR0_EM          BIT2
#define CR0_TS          BIT3
#define CR0_NE          BIT5
#define CR0_WP          BIT16
#define CR0_NW          BIT29
#define CR0_CD          BIT30
#define CR0_PG          BIT31
#define CR4_PSE         BIT4
#define CR4_PAE         BIT5
#define CR4_PGE         BIT7
#define CR4_VMXE        BIT13
#define CR4_SMXE        BIT14
#define CR4_RESERVED    BIT31
#define CR4_OSFXSR      BIT9
#define CR4_TSD         BIT2
#define RFLAGS_RF       BIT16

/**
  Checks that a bit of CR0 can be set and cleared, and restores CR0.

  @param[in,out] Cpu   The CPU.
  @param[in]     What  The bit's name.
  @param[in]     Bit   The bit.
**/
STATIC
VOID
ToggleCr0 (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *What,
  IN     UINT64        Bit
  )
{
  UINT64  Cr0;

  Cr0 = AsmReadCr0 ();
  ZppExpect (Cpu, What, VECTOR_NONE, ZppWriteCr0 (Cpu, Cr0 ^ Bit));
  ZppExpect (Cpu, What, Cr0 ^ Bit, AsmReadCr0 ());
  ZppExpect (Cpu, What, VECTOR_NONE, ZppWriteCr0 (Cpu, Cr0));
  ZppExpect (Cpu, What, Cr0, AsmReadCr0 ());
}

STATIC
VOID
Cr0Toggles (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ToggleCr0 (Cpu, "CR0.MP", CR0_MP);
  ToggleCr0 (Cpu, "CR0.EM", CR0_EM);
  ToggleCr0 (Cpu, "CR0.TS", CR0_TS);
  ToggleCr0 (Cpu, "CR0.NE", CR0_NE);
  ToggleCr0 (Cpu, "CR0.WP", CR0_WP);
  ToggleCr0 (Cpu, "CR0.CD", CR0_CD);
  AsmWbinvd ();
}

STATIC
VOID
Cr0Faults (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Cr0;

  Cr0 = AsmReadCr0 ();
  ZppExpect (Cpu, "fault on NW without CD", VECTOR_GP, ZppWriteCr0 (Cpu, (Cr0 | CR0_NW) & ~(UINT64)CR0_CD));
  // Without zpp's checks, Bochs stops at PG without PE, and QEMU's TCG does not see the upper half.
  if ((Cpu->Test->Options.Expect == ExpectVtx) || (Cpu->Test->Options.Breakpoints != 0)) {
    ZppExpect (Cpu, "fault on PG without PE", VECTOR_GP, ZppWriteCr0 (Cpu, Cr0 & ~(UINT64)CR0_PE));
  }

  if (Cpu->Test->Options.Expect == ExpectVtx) {
    ZppExpect (Cpu, "fault on an upper bit", VECTOR_GP, ZppWriteCr0 (Cpu, Cr0 | LShiftU64 (1, 40)));
  }

  ZppExpect (Cpu, "CR0 afterwards", Cr0, AsmReadCr0 ());

  // Only the CPU knows that it refuses this one; zpp intercepts the change of NE.
  ZppExpect (Cpu, "fault on clearing PG and NE", VECTOR_GP, ZppWriteCr0 (Cpu, (Cr0 ^ CR0_NE) & ~(UINT64)CR0_PG));
  if (Cpu->Test->Options.Expect == ExpectVtx) {
    ZppExpect (Cpu, "RFLAGS.RF that the fault pushes", RFLAGS_RF, Cpu->Faults->Rflags & RFLAGS_RF);
  }

  ZppExpect (Cpu, "CR0 after it", Cr0, AsmReadCr0 ());
}

/**
  Executes VMCALL with a number that is not zpp's.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
CallNobody (
  IN OUT VOID  *Argument
  )
{
  __asm__ volatile ("vmcall" : : "a" (0) : "memory");
}

STATIC
VOID
FaultsPushRf (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZppExpect (Cpu, "fault on VMCALL", VECTOR_UD, ZppGuardedCall (Cpu->Faults, CallNobody, NULL));
  if (ZppCpuid (0, 0).Rbx != SIGNATURE_32 ('G', 'e', 'n', 'u')) {
    ZppSkip (Cpu); // QEMU's TCG does not push it
    return;
  }

  ZppExpect (Cpu, "RFLAGS.RF", RFLAGS_RF, Cpu->Faults->Rflags & RFLAGS_RF);
}

STATIC
VOID
CltsLmswSmsw (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Cr0;
  UINT64  Word;

  Cr0 = AsmReadCr0 ();
  AsmWriteCr0 (Cr0 | CR0_TS);
  __asm__ volatile ("clts");
  ZppExpect (Cpu, "CR0 after CLTS", Cr0 & ~(UINT64)CR0_TS, AsmReadCr0 ());

  __asm__ volatile ("smswq %0" : "=r" (Word));
  ZppExpect (Cpu, "SMSW", AsmReadCr0 () & 0xffff, Word & 0xffff);

  Word = (Cr0 | CR0_TS | CR0_MP) & 0xf;
  __asm__ volatile ("lmsw %w0" : : "r" (Word));
  ZppExpect (Cpu, "CR0 after LMSW", Cr0 | CR0_TS | CR0_MP, AsmReadCr0 ());

  Word = 0;
  __asm__ volatile ("lmsw %0" : : "m" (*(UINT16 *)&Word));
  ZppExpect (Cpu, "LMSW cannot clear PE", CR0_PE, AsmReadCr0 () & 0xf);
  AsmWriteCr0 (Cr0);
}

STATIC
VOID
Cr4Toggles (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  STATIC CONST UINT64  Bits[] = { CR4_TSD, CR4_PSE, CR4_PGE, CR4_OSFXSR };

  UINT64  Cr4;
  UINTN   Index;

  Cr4 = AsmReadCr4 ();
  for (Index = 0; Index < ARRAY_SIZE (Bits); Index++) {
    ZppExpect (Cpu, "fault on a CR4 bit", VECTOR_NONE, ZppWriteCr4 (Cpu, Cr4 ^ Bits[Index]));
    ZppExpect (Cpu, "CR4", Cr4 ^ Bits[Index], AsmReadCr4 ());
    ZppWriteCr4 (Cpu, Cr4);
  }

  ZppExpect (Cpu, "CR4 afterwards", Cr4, AsmReadCr4 ());
}

STATIC
VOID
Cr4Faults (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Cr4;

  Cr4 = AsmReadCr4 ();
  ZppExpect (Cpu, "fault on a reserved bit", VECTOR_GP, ZppWriteCr4 (Cpu, Cr4 | CR4_RESERVED));
  ZppExpect (Cpu, "fault on clearing PAE", VECTOR_GP, ZppWriteCr4 (Cpu, Cr4 & ~(UINT64)CR4_PAE));
  ZppExpect (Cpu, "CR4 afterwards", Cr4, AsmReadCr4 ());
}

STATIC
VOID
Cr4HidesVmx (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Cr4;

  Cr4 = AsmReadCr4 ();
  ZppExpect (Cpu, "VMXE", 0, Cr4 & CR4_VMXE);
  ZppExpect (Cpu, "fault on setting VMXE", VECTOR_GP, ZppWriteCr4 (Cpu, Cr4 | CR4_VMXE));
  ZppExpect (Cpu, "fault on setting SMXE", VECTOR_GP, ZppWriteCr4 (Cpu, Cr4 | CR4_SMXE));
  ZppExpect (Cpu, "CR4 afterwards", Cr4, AsmReadCr4 ());
  ZppExpect (Cpu, "fault on restoring CR4", VECTOR_NONE, ZppWriteCr4 (Cpu, Cr4 & ~(UINT64)CR4_VMXE));
}

STATIC
VOID
Cr3AndCr8 (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Cr3;
  UINT64  Cr8;
  UINT64  Value;

  Cr3 = AsmReadCr3 ();
  AsmWriteCr3 (Cr3);
  ZppExpect (Cpu, "CR3", Cr3, AsmReadCr3 ());

  __asm__ volatile ("movq %%cr8, %0" : "=r" (Cr8));
  __asm__ volatile ("movq %0, %%cr8" : : "r" ((UINT64)5));
  __asm__ volatile ("movq %%cr8, %0" : "=r" (Value));
  __asm__ volatile ("movq %0, %%cr8" : : "r" (Cr8));
  ZppExpect (Cpu, "CR8", 5, Value);
}

/**
  Writes CR3.

  @param[in,out] Argument  The value.
**/
STATIC
VOID
EFIAPI
WriteCr3 (
  IN OUT VOID  *Argument
  )
{
  AsmWriteCr3 ((UINTN)Argument);
}

STATIC
VOID
Cr3Faults (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Cr3;

  Cr3 = AsmReadCr3 ();
  ZppExpect (
    Cpu,
    "fault on a reserved bit",
    VECTOR_GP,
    ZppGuardedCall (Cpu->Faults, WriteCr3, (VOID *)(UINTN)(Cr3 | LShiftU64 (1, 55)))
    );
  ZppExpect (Cpu, "CR3 afterwards", Cr3, AsmReadCr3 ());
}

CONST ZPP_CHECK  gZppControlChecks[] = {
  { "CR0 bits read as written",             CheckAlways, Cr0Toggles   },
  { "CR0 faults as on hardware",            CheckZpp,    Cr0Faults    },
  { "CR3 faults as on hardware",            CheckZpp,    Cr3Faults    },
  { "a fault pushes RFLAGS.RF",             CheckAlways, FaultsPushRf },
  { "CLTS, LMSW and SMSW",                  CheckAlways, CltsLmswSmsw },
  { "CR4 bits read as written",             CheckAlways, Cr4Toggles   },
  { "CR4 faults as on hardware",            CheckVtx,    Cr4Faults    },
  { "CR4.VMXE reads 0 and writes give #GP", CheckZpp,    Cr4HidesVmx  },
  { "CR3 and CR8 read as written",          CheckAlways, Cr3AndCr8    },
  { NULL }
};
