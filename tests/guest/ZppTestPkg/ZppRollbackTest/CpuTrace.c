/** @file
  What a hypervisor that came and went could have left on a CPU.
**/
#include "CpuTrace.h"

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

CONST CHAR8  *CONST  gZppTraceNames[TraceMax] = {
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
  Takes what the model-specific registers hold.

  @param[out] Trace  The trace.
**/
STATIC
VOID
TakeMsrs (
  OUT ZPP_CPU_TRACE  *Trace
  )
{
  UINT32  Features;

  AsmCpuid (1, NULL, NULL, &Features, NULL);
  Trace->Item[TraceEfer]           = AsmReadMsr64 (MSR_EFER);
  Trace->Item[TracePat]            = AsmReadMsr64 (MSR_PAT);
  Trace->Item[TraceFsBase]         = AsmReadMsr64 (MSR_FS_BASE);
  Trace->Item[TraceGsBase]         = AsmReadMsr64 (MSR_GS_BASE);
  Trace->Item[TraceKernelGsBase]   = AsmReadMsr64 (MSR_KERNEL_GS_BASE);
  Trace->Item[TraceSysenterEip]    = AsmReadMsr64 (MSR_SYSENTER_EIP);
  Trace->Item[TraceApicBase]       = AsmReadMsr64 (MSR_APIC_BASE);
  Trace->Item[TraceMtrrDefault]    = AsmReadMsr64 (MSR_MTRR_DEF_TYPE);
  Trace->Item[TraceFeatureControl] = (Features & CPUID_1_ECX_VMX) != 0 ? AsmReadMsr64 (MSR_FEATURE_CONTROL) : 0;
  Trace->Item[TraceCpuidFeatures]  = Features;
}

/**
  Takes the trace of the CPU that runs it.

  @param[out] Trace  The trace.
**/
VOID
ZppTakeTrace (
  OUT ZPP_CPU_TRACE  *Trace
  )
{
  IA32_DESCRIPTOR  Table;

  Trace->Item[TraceCr0] = AsmReadCr0 ();
  Trace->Item[TraceCr3] = AsmReadCr3 ();
  Trace->Item[TraceCr4] = AsmReadCr4 ();
  Trace->Item[TraceDr7] = AsmReadDr7 ();
  __asm__ volatile ("movq %%cr8, %0" : "=r" (Trace->Item[TraceCr8]));

  AsmReadGdtr (&Table);
  Trace->Item[TraceGdtBase]  = Table.Base;
  Trace->Item[TraceGdtLimit] = Table.Limit;
  AsmReadIdtr (&Table);
  Trace->Item[TraceIdtBase]   = Table.Base;
  Trace->Item[TraceIdtLimit]  = Table.Limit;
  Trace->Item[TraceTr]        = AsmReadTr ();
  Trace->Item[TraceLdtr]      = AsmReadLdtr ();
  Trace->Item[TraceSelectors] = Selectors ();
  Trace->Item[TraceFlags]     = AsmReadEflags () & FLAGS_KEPT;
  TakeMsrs (Trace);
}
