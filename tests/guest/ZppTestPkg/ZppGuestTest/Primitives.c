/** @file
  Privileged instructions that may fault, and CPUID with 64-bit registers.
**/
#include "Primitives.h"

#include <Library/IoLib.h>

#define CR8_ONLY_TEST   14
#define PIC_MASK_PORT   0x21
#define PIC2_MASK_PORT  0xa1

typedef struct {
  UINT32    Index;
  UINT64    Value;
} ACCESS;

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

UINT64
ZppWriteMsr (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoWriteMsr, &(ACCESS) { Index, Value });
}

UINT64
ZppWriteCr0 (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoWriteCr0, &(ACCESS) { 0, Value });
}

UINT64
ZppWriteCr4 (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoWriteCr4, &(ACCESS) { 0, Value });
}

UINT64
ZppXsetbv (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  IN     UINT64        Value
  )
{
  return ZppGuardedCall (Cpu->Faults, DoXsetbv, &(ACCESS) { Index, Value });
}

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

VOID
ZppMaskInterrupts (
  IN  CONST ZPP_TEST_CPU  *Cpu,
  OUT ZPP_MASKS           *Masks
  )
{
  // Only the BSP masks the PICs: an AP could save the BSP's temporary masks.
  if (Cpu->Cpu == Cpu->Test->Bsp) {
    Masks->Pic = (UINT16)(IoRead8 (PIC_MASK_PORT) | (IoRead8 (PIC2_MASK_PORT) << 8));
    IoWrite8 (PIC_MASK_PORT, 0xff);
    IoWrite8 (PIC2_MASK_PORT, 0xff);
  }

  __asm__ volatile ("movq %%cr8, %0" : "=r" (Masks->Cr8));
  __asm__ volatile ("movq %0, %%cr8" : : "r" ((UINT64)CR8_ONLY_TEST));
}

VOID
ZppUnmaskInterrupts (
  IN CONST ZPP_TEST_CPU  *Cpu,
  IN CONST ZPP_MASKS     *Masks
  )
{
  __asm__ volatile ("movq %0, %%cr8" : : "r" (Masks->Cr8));
  if (Cpu->Cpu == Cpu->Test->Bsp) {
    IoWrite8 (PIC_MASK_PORT, (UINT8)Masks->Pic);
    IoWrite8 (PIC2_MASK_PORT, (UINT8)(Masks->Pic >> 8));
  }
}
