/** @file
  MSRs: hidden, missing, and passed through.
**/
#include "Checks.h"
#include "Primitives.h"

#include <Library/PrintLib.h>

#include <zpp/hypercall.h>

#define MSR_FEATURE_CONTROL    0x3a
#define MSR_MTRR_CAP           0xfe
#define MSR_MTRR_PHYS_BASE0    0x200
#define MSR_PAT                0x277
#define MSR_MTRR_DEF_TYPE      0x2ff
#define MSR_VMX_FIRST          0x480
#define MSR_VMX_LAST           0x491
#define MSR_EFER               0xc0000080
#define MSR_STAR               0xc0000081

#define FEATURE_CONTROL_LOCK   BIT0
#define FEATURE_CONTROL_VMX    (BIT1 | BIT2)
#define EFER_LME               BIT8
#define EFER_LMA               BIT10
#define EFER_NXE               BIT11
#define EFER_SVME              BIT12
#define EFER_RESERVED          BIT1
#define CPUID_1_EDX_MTRR       BIT12
#define CPUID_80000001_EDX_NX  BIT20

/// MSRs that no CPU has, outside the range of the MSR bitmaps: each access is a VM exit.
STATIC CONST UINT32  mMissing[] = {
  0x2000, 0x3fffffff, 0x40000000, 0x40000001, 0x400000ff, 0xbfffffff, 0xc0002000, 0xdead0000, 0xffffffff
};

/// AMD's MSRs, which zpp handles, outside the range of VT-x's MSR bitmaps.
STATIC CONST UINT32  mAmd[] = {
  0xc0010020, 0xc0010114, 0xc0010117, 0xc0010118
};

STATIC CONST UINT32  mFixedMtrrs[] = {
  0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f
};

STATIC
VOID
FeatureControl (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Value;

  ZppExpect (Cpu, "fault on reading", VECTOR_NONE, ZppReadMsr (Cpu, MSR_FEATURE_CONTROL, &Value));
  ZppExpect (Cpu, "lock", FEATURE_CONTROL_LOCK, Value & FEATURE_CONTROL_LOCK);
  ZppExpect (Cpu, "VMX enables", 0, Value & FEATURE_CONTROL_VMX);
  ZppExpect (Cpu, "fault on writing", VECTOR_GP, ZppWriteMsr (Cpu, MSR_FEATURE_CONTROL, Value | FEATURE_CONTROL_VMX));
}

STATIC
VOID
VmxMsrs (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT32  Index;
  UINT64  Value;

  for (Index = MSR_VMX_FIRST; Index <= MSR_VMX_LAST; Index++) {
    ZppExpect (Cpu, "fault on reading", VECTOR_GP, ZppReadMsr (Cpu, Index, &Value));
    ZppExpect (Cpu, "fault on writing", VECTOR_GP, ZppWriteMsr (Cpu, Index, 0));
  }
}

/**
  Checks that an MSR does not exist: #GP, or zero on emulators that ignore invalid MSRs.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The MSR.
**/
STATIC
VOID
ExpectMissing (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index
  )
{
  CHAR8    What[ZPP_TEXT_MAX];
  UINT64   Value;
  UINT64   Vector;
  BOOLEAN  Strict;

  Strict = Cpu->Test->Options.StrictMsrs;
  Vector = ZppReadMsr (Cpu, Index, &Value);
  AsciiSPrint (What, sizeof (What), "fault on reading MSR 0x%x", Index);
  ZppExpect (Cpu, What, (Strict || (Vector != VECTOR_NONE)) ? VECTOR_GP : VECTOR_NONE, Vector);
  AsciiSPrint (What, sizeof (What), "value of MSR 0x%x", Index);
  ZppExpect (Cpu, What, 0, Vector == VECTOR_NONE ? Value : 0);

  Vector = ZppWriteMsr (Cpu, Index, 0);
  AsciiSPrint (What, sizeof (What), "fault on writing MSR 0x%x", Index);
  ZppExpect (Cpu, What, (Strict || (Vector != VECTOR_NONE)) ? VECTOR_GP : VECTOR_NONE, Vector);
}

STATIC
VOID
ExpectAllMissing (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST UINT32  *Indices,
  IN     UINTN         Count
  )
{
  UINTN  Index;

  for (Index = 0; Index < Count; Index++) {
    ExpectMissing (Cpu, Indices[Index]);
  }
}

STATIC
VOID
MissingMsrs (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ExpectAllMissing (Cpu, mMissing, ARRAY_SIZE (mMissing));
}

STATIC
VOID
AmdMsrs (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ExpectAllMissing (Cpu, mAmd, ARRAY_SIZE (mAmd));
}

STATIC
VOID
Efer (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Efer;
  UINT64  Value;

  ZppExpect (Cpu, "fault on reading", VECTOR_NONE, ZppReadMsr (Cpu, MSR_EFER, &Efer));
  ZppExpect (Cpu, "LME and LMA", EFER_LME | EFER_LMA, Efer & (EFER_LME | EFER_LMA));
  ZppExpect (Cpu, "fault on restoring it", VECTOR_NONE, ZppWriteMsr (Cpu, MSR_EFER, Efer));
  ZppReadMsr (Cpu, MSR_EFER, &Value);
  ZppExpect (Cpu, "value after restoring it", Efer, Value);

  if ((ZppCpuid (0x80000001, 0).Rdx & CPUID_80000001_EDX_NX) != 0) {
    ZppExpect (Cpu, "fault on setting NXE", VECTOR_NONE, ZppWriteMsr (Cpu, MSR_EFER, Efer | EFER_NXE));
    ZppReadMsr (Cpu, MSR_EFER, &Value);
    ZppExpect (Cpu, "value with NXE", Efer | EFER_NXE, Value);
    ZppWriteMsr (Cpu, MSR_EFER, Efer);
  }
}

STATIC
VOID
EferFaults (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Efer;
  UINT64  Value;

  ZppReadMsr (Cpu, MSR_EFER, &Efer);
  ZppExpect (Cpu, "fault on a reserved bit", VECTOR_GP, ZppWriteMsr (Cpu, MSR_EFER, Efer | EFER_RESERVED));
  ZppExpect (Cpu, "fault on clearing LME", VECTOR_GP, ZppWriteMsr (Cpu, MSR_EFER, Efer & ~(UINT64)EFER_LME));
  ZppExpect (Cpu, "fault on SVME", VECTOR_GP, ZppWriteMsr (Cpu, MSR_EFER, Efer | EFER_SVME));
  ZppReadMsr (Cpu, MSR_EFER, &Value);
  ZppExpect (Cpu, "value afterwards", Efer, Value);
}

STATIC
VOID
EachEferBit (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Efer;
  UINT64  Value;
  UINTN   Bit;

  // A bit either gives #GP, or the CPU continues; emulators may drop it. LME, LMA and SVME: see EferFaults.
  ZppReadMsr (Cpu, MSR_EFER, &Efer);
  for (Bit = 0; Bit < 64; Bit++) {
    Value = LShiftU64 (1, Bit);
    if ((Value & (Efer | EFER_SVME)) != 0) {
      continue;
    }

    if (ZppWriteMsr (Cpu, MSR_EFER, Efer | Value) == VECTOR_NONE) {
      ZppCpuid (ZPP_CPUID_SIGNATURE_LEAF, 0);
      ZppExpect (Cpu, "fault on clearing a bit", VECTOR_NONE, ZppWriteMsr (Cpu, MSR_EFER, Efer));
    }
  }

  ZppReadMsr (Cpu, MSR_EFER, &Value);
  ZppExpect (Cpu, "EFER afterwards", Efer, Value);
}

STATIC
VOID
Mtrrs (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Capabilities;
  UINT64  Value;
  UINT32  Index;

  if ((ZppCpuid (1, 0).Rdx & CPUID_1_EDX_MTRR) == 0) {
    ZppSkip (Cpu);
    return;
  }

  ZppExpect (Cpu, "fault on MTRRCAP", VECTOR_NONE, ZppReadMsr (Cpu, MSR_MTRR_CAP, &Capabilities));
  for (Index = 0; Index < 2 * (Capabilities & 0xff); Index++) {
    ZppExpect (Cpu, "fault on a variable range", VECTOR_NONE, ZppReadMsr (Cpu, MSR_MTRR_PHYS_BASE0 + Index, &Value));
  }

  for (Index = 0; Index < ARRAY_SIZE (mFixedMtrrs); Index++) {
    ZppExpect (Cpu, "fault on a fixed range", VECTOR_NONE, ZppReadMsr (Cpu, mFixedMtrrs[Index], &Value));
  }

  ZppExpect (Cpu, "fault on the default type", VECTOR_NONE, ZppReadMsr (Cpu, MSR_MTRR_DEF_TYPE, &Value));
  ZppExpect (Cpu, "fault on restoring it", VECTOR_NONE, ZppWriteMsr (Cpu, MSR_MTRR_DEF_TYPE, Value));
}

STATIC
VOID
MtrrFaults (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Before;
  UINT64  After;

  // zpp writes the MTRRs for the guest, so these faults occur in the host, which injects them.
  ZppReadMsr (Cpu, MSR_MTRR_DEF_TYPE, &Before);
  ZppExpect (Cpu, "fault on a reserved default type", VECTOR_GP, ZppWriteMsr (Cpu, MSR_MTRR_DEF_TYPE, Before | 7));
  ZppExpect (Cpu, "fault on a reserved bit", VECTOR_GP, ZppWriteMsr (Cpu, MSR_MTRR_DEF_TYPE, Before | LShiftU64 (1, 63)));
  ZppExpect (Cpu, "fault on a reserved fixed type", VECTOR_GP, ZppWriteMsr (Cpu, mFixedMtrrs[0], 2));
  ZppReadMsr (Cpu, MSR_MTRR_DEF_TYPE, &After);
  ZppExpect (Cpu, "the default type afterwards", Before, After);
}

/**
  Checks that an MSR returns the value written to it.

  @param[in,out] Cpu    The CPU.
  @param[in]     Index  The MSR.
  @param[in]     Flip   Bits to change.
**/
STATIC
VOID
ExpectWritable (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINT32        Index,
  IN     UINT64        Flip
  )
{
  UINT64  Value;
  UINT64  Changed;

  ZppExpect (Cpu, "fault on reading", VECTOR_NONE, ZppReadMsr (Cpu, Index, &Value));
  ZppExpect (Cpu, "fault on writing", VECTOR_NONE, ZppWriteMsr (Cpu, Index, Value ^ Flip));
  ZppReadMsr (Cpu, Index, &Changed);
  ZppExpect (Cpu, "the value written", Value ^ Flip, Changed);
  ZppWriteMsr (Cpu, Index, Value);
}

STATIC
VOID
PassThrough (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  // PAT entry 7: the firmware's page tables do not use it.
  ExpectWritable (Cpu, MSR_PAT, LShiftU64 (1, 56));
  ExpectWritable (Cpu, MSR_STAR, LShiftU64 (0x1234, 32));
}

CONST ZPP_CHECK  gZppMsrChecks[] = {
  { "IA32_FEATURE_CONTROL is locked without VMX", CheckVtx,    FeatureControl },
  { "VMX MSRs give #GP",                          CheckVtx,    VmxMsrs        },
  { "missing MSRs do not exist",                  CheckAlways, MissingMsrs    },
  { "AMD's MSRs do not exist",                    CheckVtx,    AmdMsrs        },
  { "EFER keeps its value",                       CheckAlways, Efer           },
  { "EFER faults as on hardware",                 CheckZpp,    EferFaults     },
  { "no bit of EFER stops the CPU",               CheckAlways, EachEferBit    },
  { "MTRRs can be read",                          CheckAlways, Mtrrs          },
  { "MTRRs fault on invalid values",              CheckVtx,    MtrrFaults     },
  { "PAT and STAR keep their values",             CheckAlways, PassThrough    },
  { NULL }
};
