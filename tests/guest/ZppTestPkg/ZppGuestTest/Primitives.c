/** @file
  Single privileged instructions that may fault, and CPUID with whole registers.
**/
#include "Primitives.h"

typedef struct {
  UINT32    Index;
  UINT64    Value;
} ACCESS;

/**
  CPUID with whole 64-bit registers going in and coming out.

  @param[in] Rax  The leaf.
  @param[in] Rcx  The sub-leaf.

  @return The registers.
**/
ZPP_CPUID
ZppCpuid (
  IN UINT64  Rax,
  IN UINT64  Rcx
  )
{
  ZPP_CPUID  Result;

  Result.Rax = Rax;
  Result.Rcx = Rcx;
  __asm__ volatile ("cpuid" : "+a" (Result.Rax), "=b" (Result.Rbx), "+c" (Result.Rcx), "=d" (Result.Rdx));
  return Result;
}

/**
  RDMSR.

  @param[in,out] Argument  The ACCESS.
**/
STATIC
VOID
EFIAPI
DoReadMsr (
  IN OUT VOID  *Argument
  )
{
  ACCESS  *Access;
  UINT32  Low;
  UINT32  High;

  Access = Argument;
  __asm__ volatile ("rdmsr" : "=a" (Low), "=d" (High) : "c" (Access->Index));
  Access->Value = LShiftU64 (High, 32) | Low;
}

/**
  WRMSR.

  @param[in,out] Argument  The ACCESS.
**/
STATIC
VOID
EFIAPI
DoWriteMsr (
  IN OUT VOID  *Argument
  )
{
  ACCESS  *Access;

  Access = Argument;
  __asm__ volatile ("wrmsr"
                    :
                    : "c" (Access->Index), "a" ((UINT32)Access->Value), "d" ((UINT32)(Access->Value >> 32))
                    : "memory");
}

/**
  MOV to CR0.

  @param[in,out] Argument  The ACCESS.
**/
STATIC
VOID
EFIAPI
DoWriteCr0 (
  IN OUT VOID  *Argument
  )
{
  __asm__ volatile ("movq %0, %%cr0" : : "r" (((ACCESS *)Argument)->Value) : "memory");
}

/**
  MOV to CR4.

  @param[in,out] Argument  The ACCESS.
**/
STATIC
VOID
EFIAPI
DoWriteCr4 (
  IN OUT VOID  *Argument
  )
{
  __asm__ volatile ("movq %0, %%cr4" : : "r" (((ACCESS *)Argument)->Value) : "memory");
}

/**
  XSETBV.

  @param[in,out] Argument  The ACCESS.
**/
STATIC
VOID
EFIAPI
DoXsetbv (
  IN OUT VOID  *Argument
  )
{
  ACCESS  *Access;

  Access = Argument;
  __asm__ volatile ("xsetbv"
                    :
                    : "c" (Access->Index), "a" ((UINT32)Access->Value), "d" ((UINT32)(Access->Value >> 32))
                    : "memory");
}

/**
  Reads an MSR that may not be there.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The MSR.
  @param[out]    Value  Its value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppReadMsr (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  OUT    UINT64        *Value
  )
{
  ACCESS  Access;
  UINT64  Vector;

  Access = (ACCESS) {
    .Index = Index
  };
  Vector = ZppGuardedCall (Cpu->Faults, DoReadMsr, &Access);
  *Value = Access.Value;
  return Vector;
}

/**
  Writes an MSR that may refuse it.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The MSR.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppWriteMsr (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoWriteMsr, &(ACCESS) { Index, Value });
}

/**
  Writes CR0 with a value that it may refuse.

  @param[in,out] Cpu    The CPU.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppWriteCr0 (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoWriteCr0, &(ACCESS) { 0, Value });
}

/**
  Writes CR4 with a value that it may refuse.

  @param[in,out] Cpu    The CPU.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppWriteCr4 (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoWriteCr4, &(ACCESS) { 0, Value });
}

/**
  XSETBV with a value that it may refuse.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The extended control register.
  @param[in]     Value  Its new value.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
ZppXsetbv (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoXsetbv, &(ACCESS) { Index, Value });
}

/**
  XGETBV of XCR0. CR4.OSXSAVE must be set.

  @return XCR0.
**/
UINT64
ZppXgetbv (
  VOID
  )
{
  UINT32  Low;
  UINT32  High;

  __asm__ volatile ("xgetbv" : "=a" (Low), "=d" (High) : "c" (0));
  return LShiftU64 (High, 32) | Low;
}
