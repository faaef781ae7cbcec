/** @file
  The state of a CPU that a launch and a rollback must not change.
**/
#include "CpuState.h"

#include <Library/BaseLib.h>

#define MSR_APIC_BASE        0x1b
#define MSR_FEATURE_CONTROL  0x3a
#define MSR_SPEC_CTRL        0x48
#define MSR_SYSENTER_CS      0x174
#define MSR_SYSENTER_ESP     0x175
#define MSR_SYSENTER_EIP     0x176
#define MSR_DEBUGCTL         0x1d9
#define MSR_PAT              0x277
#define MSR_MTRR_DEF_TYPE    0x2ff
#define MSR_EFER             0xc0000080
#define MSR_STAR             0xc0000081
#define MSR_LSTAR            0xc0000082
#define MSR_CSTAR            0xc0000083
#define MSR_SFMASK           0xc0000084
#define MSR_FS_BASE          0xc0000100
#define MSR_GS_BASE          0xc0000101
#define MSR_KERNEL_GS_BASE   0xc0000102
#define FLAGS_KEPT           (BIT8 | BIT9 | BIT10 | BIT12 | BIT13 | BIT14)
#define MSR_VM_CR            0xc0010114
#define MSR_VM_HSAVE_PA      0xc0010117
#define CPUID_1_ECX_VMX      BIT5
#define CPUID_1_ECX_OSXSAVE  BIT27

CONST CHAR8  *CONST  gZppCpuStateNames[StateMax] = {
  "CR0",            "CR2",          "CR3",          "CR4",         "CR8",
  "DR6",            "DR7",          "EFER",         "PAT",         "FS base",
  "GS base",        "kernel GS base", "SYSENTER CS", "SYSENTER ESP", "SYSENTER EIP",
  "DEBUGCTL",       "STAR",         "LSTAR",        "CSTAR",       "SFMASK",
  "APIC base",      "IA32_FEATURE_CONTROL", "MTRR default", "VM_CR", "VM_HSAVE_PA",
  "SPEC_CTRL",      "XCR0",         "GDT base",     "GDT limit",   "IDT base",
  "IDT limit",      "TR",           "LDTR",         "segments",    "RFLAGS",
  "CPUID.1:ECX",
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

BOOLEAN
ZppHasSvm (
  VOID
  )
{
  UINT32  Ecx;

  AsmCpuid (0x80000001, NULL, NULL, &Ecx, NULL);
  return (Ecx & BIT2) != 0;
}

/**
  Whether the CPU has the SPEC_CTRL MSR: IBRS, STIBP or SSBD, of either vendor.

  @retval TRUE   It has.
  @retval FALSE  It does not.
**/
STATIC
BOOLEAN
HasSpecCtrl (
  VOID
  )
{
  UINT32  Maximum;
  UINT32  Ebx;
  UINT32  Edx;

  AsmCpuid (0, &Maximum, NULL, NULL, NULL);
  if (Maximum >= 7) {
    AsmCpuidEx (7, 0, NULL, NULL, NULL, &Edx);
    if ((Edx & (BIT26 | BIT27 | BIT31)) != 0) {
      return TRUE;
    }
  }

  AsmCpuid (0x80000000, &Maximum, NULL, NULL, NULL);
  if (Maximum < 0x80000008) {
    return FALSE;
  }

  AsmCpuid (0x80000008, NULL, &Ebx, NULL, NULL);
  return (Ebx & (BIT14 | BIT15 | BIT24)) != 0;
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
  State->Item[StateSysenterCs]     = AsmReadMsr64 (MSR_SYSENTER_CS);
  State->Item[StateSysenterEsp]    = AsmReadMsr64 (MSR_SYSENTER_ESP);
  State->Item[StateSysenterEip]    = AsmReadMsr64 (MSR_SYSENTER_EIP);
  State->Item[StateDebugCtl]       = AsmReadMsr64 (MSR_DEBUGCTL);
  State->Item[StateStar]           = AsmReadMsr64 (MSR_STAR);
  State->Item[StateLstar]          = AsmReadMsr64 (MSR_LSTAR);
  State->Item[StateCstar]          = AsmReadMsr64 (MSR_CSTAR);
  State->Item[StateSfmask]         = AsmReadMsr64 (MSR_SFMASK);
  State->Item[StateApicBase]       = AsmReadMsr64 (MSR_APIC_BASE);
  State->Item[StateMtrrDefault]    = AsmReadMsr64 (MSR_MTRR_DEF_TYPE);
  State->Item[StateFeatureControl] = (Features & CPUID_1_ECX_VMX) != 0 ? AsmReadMsr64 (MSR_FEATURE_CONTROL) : 0;
  State->Item[StateVmCr]           = ZppHasSvm () ? AsmReadMsr64 (MSR_VM_CR) : 0;
  State->Item[StateVmHsavePa]      = ZppHasSvm () ? AsmReadMsr64 (MSR_VM_HSAVE_PA) : 0;
  State->Item[StateSpecCtrl]       = HasSpecCtrl () ? AsmReadMsr64 (MSR_SPEC_CTRL) : 0;
  State->Item[StateXcr0]           = (Features & CPUID_1_ECX_OSXSAVE) != 0 ? AsmXGetBv (0) : 0;
  State->Item[StateCpuidFeatures]  = Features;
}

VOID
ZppReadCpuState (
  OUT ZPP_CPU_STATE  *State
  )
{
  IA32_DESCRIPTOR  Table;

  State->Item[StateCr0] = AsmReadCr0 ();
  State->Item[StateCr2] = AsmReadCr2 ();
  State->Item[StateCr3] = AsmReadCr3 ();
  State->Item[StateCr4] = AsmReadCr4 ();
  State->Item[StateDr6] = AsmReadDr6 ();
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
