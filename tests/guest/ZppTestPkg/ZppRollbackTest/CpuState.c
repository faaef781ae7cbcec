/** @file
  The state of a CPU that a launch and a rollback must not change.
**/
#include "CpuState.h"

#include <Library/BaseLib.h>

#define MSR_APIC_BASE        0x1b
#define MSR_FEATURE_CONTROL  0x3a
#define MSR_SYSENTER_EIP     0x176
#define MSR_PAT              0x277
#define MSR_MTRR_DEF_TYPE    0x2ff
#define MSR_EFER             0xc0000080
#define MSR_FS_BASE          0xc0000100
#define MSR_GS_BASE          0xc0000101
#define MSR_KERNEL_GS_BASE   0xc0000102
#define FLAGS_KEPT           (BIT8 | BIT9 | BIT10 | BIT12 | BIT13 | BIT14)
#define CPUID_1_ECX_VMX      BIT5

CONST CHAR8  *CONST  gZppCpuStateNames[StateMax] = {
  "CR0",           "CR3",           "CR4",                  "CR8",          "DR7",
  "EFER",          "PAT",           "FS base",              "GS base",      "kernel GS base",
  "SYSENTER EIP",  "APIC base",     "IA32_FEATURE_CONTROL", "MTRR default", "GDT base",
  "GDT limit",     "IDT base",      "IDT limit",            "TR",           "LDTR",
  "segments",      "RFLAGS",        "CPUID.1:ECX",
};

/**
  The data and code segments' selectors in one number.

  @return The selectors.
**/
STATIC
UINT64
Selectors (
  VOID
  )
{
  return LShiftU64 (AsmReadCs (), 48) | LShiftU64 (AsmReadDs (), 32) | LShiftU64 (AsmReadEs (), 16) | AsmReadSs ();
}

/**
  Reads the model-specific registers.

  @param[out] State  The state.
**/
STATIC
VOID
ReadMsrs (
  OUT ZPP_CPU_STATE  *State
  )
{
  UINT32  Features;

  AsmCpuid (1, NULL, NULL, &Features, NULL);
  State->Item[StateEfer]           = AsmReadMsr64 (MSR_EFER);
  State->Item[StatePat]            = AsmReadMsr64 (MSR_PAT);
  State->Item[StateFsBase]         = AsmReadMsr64 (MSR_FS_BASE);
  State->Item[StateGsBase]         = AsmReadMsr64 (MSR_GS_BASE);
  State->Item[StateKernelGsBase]   = AsmReadMsr64 (MSR_KERNEL_GS_BASE);
  State->Item[StateSysenterEip]    = AsmReadMsr64 (MSR_SYSENTER_EIP);
  State->Item[StateApicBase]       = AsmReadMsr64 (MSR_APIC_BASE);
  State->Item[StateMtrrDefault]    = AsmReadMsr64 (MSR_MTRR_DEF_TYPE);
  State->Item[StateFeatureControl] = (Features & CPUID_1_ECX_VMX) != 0 ? AsmReadMsr64 (MSR_FEATURE_CONTROL) : 0;
  State->Item[StateCpuidFeatures]  = Features;
}

VOID
ZppReadCpuState (
  OUT ZPP_CPU_STATE  *State
  )
{
  IA32_DESCRIPTOR  Table;

  State->Item[StateCr0] = AsmReadCr0 ();
  State->Item[StateCr3] = AsmReadCr3 ();
  State->Item[StateCr4] = AsmReadCr4 ();
  State->Item[StateDr7] = AsmReadDr7 ();
  __asm__ volatile ("movq %%cr8, %0" : "=r" (State->Item[StateCr8]));

  AsmReadGdtr (&Table);
  State->Item[StateGdtBase]  = Table.Base;
  State->Item[StateGdtLimit] = Table.Limit;
  AsmReadIdtr (&Table);
  State->Item[StateIdtBase]   = Table.Base;
  State->Item[StateIdtLimit]  = Table.Limit;
  State->Item[StateTr]        = AsmReadTr ();
  State->Item[StateLdtr]      = AsmReadLdtr ();
  State->Item[StateSelectors] = Selectors ();
  State->Item[StateFlags]     = AsmReadEflags () & FLAGS_KEPT;
  ReadMsrs (State);
}
