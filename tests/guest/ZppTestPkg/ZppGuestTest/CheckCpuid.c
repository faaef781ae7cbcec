/** @file
  CPUID: what zpp shows, what it hides, and what it must not change.
**/
#include "Checks.h"
#include "Apic.h"
#include "UserMode.h"
#include "Primitives.h"

#include <zpp/hypercall.h>

#define CPUID_1_ECX_VMX         BIT5
#define CPUID_1_ECX_SMX         BIT6
#define CPUID_1_ECX_XSAVE       BIT26
#define CPUID_1_ECX_OSXSAVE     BIT27
#define CPUID_1_ECX_HYPERVISOR  BIT31
#define CPUID_80000001_ECX_SVM  BIT2
#define CR4_OSXSAVE             BIT18

#define CPUID_80000001_EDX_SYSCALL  BIT11

/**
  Checks whether a leaf contains zpp's signature.

  @param[in] Leaf  The leaf.

  @retval TRUE   It does.
  @retval FALSE  It does not.
**/
STATIC
BOOLEAN
HasSignature (
  IN CONST ZPP_CPUID  *Leaf
  )
{
  return (Leaf->Rbx == ZPP_SIGNATURE_EBX) && (Leaf->Rcx == ZPP_SIGNATURE_ECX) && (Leaf->Rdx == ZPP_SIGNATURE_EDX);
}

STATIC
VOID
SignatureIsPresent (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_CPUID  Leaf;

  Leaf = ZppCpuid (ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY);
  ZppExpect (Cpu, "EAX", ZPP_CPUID_VERSION_LEAF, Leaf.Rax);
  ZppExpect (Cpu, "EBX", ZPP_SIGNATURE_EBX, Leaf.Rbx);
  ZppExpect (Cpu, "ECX", ZPP_SIGNATURE_ECX, Leaf.Rcx);
  ZppExpect (Cpu, "EDX", ZPP_SIGNATURE_EDX, Leaf.Rdx);
}

STATIC
VOID
SignatureIsAbsent (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_CPUID  Leaf;

  Leaf = ZppCpuid (ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY);
  ZppExpect (Cpu, "the signature is present", FALSE, HasSignature (&Leaf));
}

/**
  Checks what a system sees that does not know zpp: zpp, or the answers of the bare CPU, which may
  itself be one of a virtual machine.

  @param[in,out] Cpu  The CPU.
**/
STATIC
VOID
VisibleAsSet (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_CPUID  Leaf;
  UINT64     Bit;

  Leaf = ZppCpuid (ZPP_CPUID_SIGNATURE_LEAF, 0);
  ZppExpect (Cpu, "the signature is there", Cpu->Test->Options.Visible, HasSignature (&Leaf));
  Bit = (Leaf.Rax >> 8) == (ZPP_CPUID_SIGNATURE_LEAF >> 8) ? CPUID_1_ECX_HYPERVISOR : 0;
  ZppExpect (Cpu, "CPUID.1:ECX[31]", Bit, ZppCpuid (1, 0).Rcx & CPUID_1_ECX_HYPERVISOR);
}

STATIC
VOID
VersionLeaf (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_CPUID  Leaf;
  UINT64     Vendor;

  Vendor = Cpu->Test->Options.Expect == ExpectAmdv ? ZPP_FEATURE_AMDV : ZPP_FEATURE_VTX;
  Leaf   = ZppCpuid (ZPP_CPUID_VERSION_LEAF, ZPP_CPUID_KEY);
  ZppExpect (Cpu, "version", ZPP_VERSION, Leaf.Rax);
  ZppExpect (Cpu, "features", Vendor, Leaf.Rbx & (ZPP_FEATURE_VTX | ZPP_FEATURE_AMDV));
  ZppExpect (Cpu, "this CPU's index", Cpu->Cpu, Leaf.Rcx);
  ZppExpect (Cpu, "virtualized CPUs", Cpu->Test->CpuCount, Leaf.Rdx);
}

STATIC
VOID
VirtualizationIsHidden (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZppExpect (Cpu, "VMX and SMX", 0, ZppCpuid (1, 0).Rcx & (CPUID_1_ECX_VMX | CPUID_1_ECX_SMX));
  ZppExpect (Cpu, "SVM", 0, ZppCpuid (0x80000001, 0).Rcx & CPUID_80000001_ECX_SVM);
}

STATIC
VOID
LeafIsEaxOnly (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_CPUID  Plain;
  ZPP_CPUID  Dirty;

  Plain = ZppCpuid (1, 0);
  Dirty = ZppCpuid (0xdeadbeef00000001ull, 0xdeadbeef00000000ull);
  ZppExpect (Cpu, "RAX with a dirty upper half", Plain.Rax, Dirty.Rax);
  ZppExpect (Cpu, "RCX with a dirty upper half", Plain.Rcx, Dirty.Rcx);
  ZppExpect (Cpu, "RDX with a dirty upper half", Plain.Rdx, Dirty.Rdx);
  ZppExpect (Cpu, "upper halves", 0, (Plain.Rax | Plain.Rbx | Plain.Rcx | Plain.Rdx) >> 32);
}

STATIC
VOID
ApicIdIsThisCpus (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZppExpect (Cpu, "initial APIC ID", ZppApicId () & 0xff, ZppCpuid (1, 0).Rbx >> 24);
}

STATIC
VOID
OsxsaveMirrorsCr4 (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Cr4;

  if ((ZppCpuid (1, 0).Rcx & CPUID_1_ECX_XSAVE) == 0) {
    ZppSkip (Cpu);
    return;
  }

  Cr4 = AsmReadCr4 ();
  AsmWriteCr4 (Cr4 | CR4_OSXSAVE);
  ZppExpect (Cpu, "OSXSAVE set", CPUID_1_ECX_OSXSAVE, ZppCpuid (1, 0).Rcx & CPUID_1_ECX_OSXSAVE);
  AsmWriteCr4 (Cr4 & ~(UINT64)CR4_OSXSAVE);
  ZppExpect (Cpu, "OSXSAVE clear", 0, ZppCpuid (1, 0).Rcx & CPUID_1_ECX_OSXSAVE);
  AsmWriteCr4 (Cr4);
}

STATIC
VOID
SyscallOutside64BitMode (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  In64BitMode;

  // Intel's CPUs do not show it there, AMD's do.
  In64BitMode = ZppCpuid (0x80000001, 0).Rdx & CPUID_80000001_EDX_SYSCALL;
  ZppExpect (
    Cpu,
    "CPUID.80000001H:EDX[11] in 32-bit code",
    ZppCpuid (0, 0).Rbx == SIGNATURE_32 ('G', 'e', 'n', 'u') ? 0 : In64BitMode,
    ZppCpuidEdxIn32BitCode (Cpu, 0x80000001) & CPUID_80000001_EDX_SYSCALL
    );
  ZppExpect (Cpu, "in 64-bit code", In64BitMode, ZppCpuid (0x80000001, 0).Rdx & CPUID_80000001_EDX_SYSCALL);
}

CONST ZPP_CHECK  gZppIdentityChecks[] = {
  { "CPUID shows zpp's signature",         CheckZpp,  SignatureIsPresent },
  { "CPUID does not show zpp's signature", CheckBare, SignatureIsAbsent  },
  { NULL }
};

CONST ZPP_CHECK  gZppCpuidChecks[] = {
  { "CPUID version leaf",                            CheckZpp,    VersionLeaf            },
  { "CPUID shows zpp to the system only if visible", CheckAlways, VisibleAsSet           },
  { "CPUID hides VMX, SMX and SVM",                  CheckZpp,    VirtualizationIsHidden },
  { "CPUID uses EAX only and returns 32-bit values", CheckAlways, LeafIsEaxOnly          },
  { "CPUID initial APIC ID",                         CheckAlways, ApicIdIsThisCpus       },
  { "CPUID OSXSAVE mirrors CR4",                     CheckAlways, OsxsaveMirrorsCr4      },
  { "CPUID SYSCALL outside 64-bit mode",             CheckAlways, SyscallOutside64BitMode },
  { NULL }
};
