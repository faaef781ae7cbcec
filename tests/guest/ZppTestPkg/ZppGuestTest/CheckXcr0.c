/** @file
  XCR0 and the sizes of CPUID leaf 0xD that depend on it.
**/
#include "Checks.h"
#include "Primitives.h"

#define CPUID_1_ECX_XSAVE  BIT26
#define CR4_OSXSAVE        BIT18
#define XCR0_X87           1ull
#define XCR0_SSE           2ull
#define XCR0_AVX           4ull
#define LEGACY_AREA        576ull

/**
  Enables XSAVE if the CPU has it.

  @param[in,out] Cpu  The CPU; skips the check if it does not.
  @param[out]    Cr4  The former CR4, for the caller to restore.

  @retval TRUE   XSAVE is enabled.
  @retval FALSE  The CPU does not have XSAVE.
**/
STATIC
BOOLEAN
EnableXsave (
  IN OUT ZPP_TEST_CPU  *Cpu,
  OUT    UINT64        *Cr4
  )
{
  *Cr4 = AsmReadCr4 ();
  if ((ZppCpuid (1, 0).Rcx & CPUID_1_ECX_XSAVE) == 0) {
    ZppSkip (Cpu);
    return FALSE;
  }

  AsmWriteCr4 (*Cr4 | CR4_OSXSAVE);
  return TRUE;
}

/**
  Writes a valid XCR0, and checks it and the size of the XSAVE area.

  @param[in,out] Cpu   The CPU.
  @param[in]     Xcr0  The value.
  @param[in]     Size  The size of the XSAVE area for it.
**/
STATIC
VOID
SetValid (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT64        Xcr0,
  IN     UINT64        Size
  )
{
  ZPP_CPUID  Leaf;

  ZppExpect (Cpu, "fault on a valid XCR0", VECTOR_NONE, ZppXsetbv (Cpu, 0, Xcr0));
  ZppExpect (Cpu, "XCR0", Xcr0, ZppXgetbv ());
  Leaf = ZppCpuid (0xd, 0);
  ZppExpect (Cpu, "CPUID.0DH:EBX", Size, Leaf.Rbx);
  ZppExpect (Cpu, "CPUID.0DH:ECX is at least EBX", TRUE, Leaf.Rcx >= Leaf.Rbx);
}

STATIC
VOID
ValidValues (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64     Cr4;
  UINT64     Before;
  ZPP_CPUID  Avx;

  if (!EnableXsave (Cpu, &Cr4)) {
    return;
  }

  Before = ZppXgetbv ();
  SetValid (Cpu, XCR0_X87, LEGACY_AREA);
  SetValid (Cpu, XCR0_X87 | XCR0_SSE, LEGACY_AREA);
  if ((ZppCpuid (0xd, 0).Rax & XCR0_AVX) != 0) {
    Avx = ZppCpuid (0xd, 2);
    SetValid (Cpu, XCR0_X87 | XCR0_SSE | XCR0_AVX, Avx.Rax + Avx.Rbx);
  }

  ZppXsetbv (Cpu, 0, Before);
  AsmWriteCr4 (Cr4);
}

STATIC
VOID
InvalidValues (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  STATIC CONST UINT64  Invalid[] = {
    0,                                // x87 must be set
    XCR0_SSE,                         // without x87
    XCR0_X87 | XCR0_AVX,              // AVX without SSE
    0xe7 & ~0x80ull,                  // only part of AVX-512
    XCR0_X87 | BIT3,                  // only part of MPX
    XCR0_X87 | 0x8000000000000000ull, // reserved
  };

  UINT64  Cr4;
  UINT64  Before;
  UINTN   Index;

  if (!EnableXsave (Cpu, &Cr4)) {
    return;
  }

  Before = ZppXgetbv ();
  for (Index = 0; Index < ARRAY_SIZE (Invalid); Index++) {
    ZppExpect (Cpu, "fault on an invalid XCR0", VECTOR_GP, ZppXsetbv (Cpu, 0, Invalid[Index]));
  }

  ZppExpect (Cpu, "fault on XCR 1", VECTOR_GP, ZppXsetbv (Cpu, 1, Before));
  ZppExpect (Cpu, "XCR0 afterwards", Before, ZppXgetbv ());

  AsmWriteCr4 (Cr4 & ~(UINT64)CR4_OSXSAVE);
  ZppExpect (Cpu, "fault without CR4.OSXSAVE", VECTOR_UD, ZppXsetbv (Cpu, 0, Before));
  AsmWriteCr4 (Cr4);
}

CONST ZPP_CHECK  gZppXcr0Checks[] = {
  { "XSETBV accepts valid values, CPUID.0DH follows", CheckAlways, ValidValues   },
  { "XSETBV faults on invalid values",                CheckAlways, InvalidValues },
  { NULL }
};
