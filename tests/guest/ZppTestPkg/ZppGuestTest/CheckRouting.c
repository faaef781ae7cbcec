/** @file
  Registers that route physical addresses: the guest cannot move its local APIC, and on AMD-V it cannot
  take DRAM away from the hypervisor.
**/
#include "Checks.h"
#include "Primitives.h"

#define MSR_APIC_BASE          0x1b
#define MSR_SYSCFG             0xc0010010
#define MSR_IORR_BASE0         0xc0010016
#define MSR_IORR_MASK0         0xc0010017
#define MSR_TOP_MEM            0xc001001a
#define MSR_SMBASE             0xc0010111
#define MSR_SMM_MASK           0xc0010113

#define APIC_BASE_ADDRESS      0x000ffffffffff000ull
#define SYSCFG_ENCRYPTION      (BIT23 | BIT24 | BIT25 | BIT26)
#define IORR_VALID             BIT11

STATIC
VOID
ApicBase (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Base;
  UINT64  After;

  ZppExpect (Cpu, "fault on reading", VECTOR_NONE, ZppReadMsr (Cpu, MSR_APIC_BASE, &Base));
  ZppExpect (Cpu, "fault on restoring it", VECTOR_NONE, ZppWriteMsr (Cpu, MSR_APIC_BASE, Base));
  ZppExpect (
    Cpu,
    "fault on another base",
    VECTOR_GP,
    ZppWriteMsr (Cpu, MSR_APIC_BASE, (Base & ~APIC_BASE_ADDRESS) | ((UINTN)ApicBase & APIC_BASE_ADDRESS))
    );
  ZppReadMsr (Cpu, MSR_APIC_BASE, &After);
  ZppExpect (Cpu, "the base afterwards", Base, After);
}

STATIC
VOID
MemoryEncryption (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Value;
  UINT64  Rest;

  Rest = ZppCpuid (0x8000001f, 0).Rax | ZppCpuid (0x8000001f, 0).Rbx;
  ZppExpect (Cpu, "CPUID.8000001FH", 0, Rest);
  ZppExpect (Cpu, "fault on reading SYSCFG", VECTOR_NONE, ZppReadMsr (Cpu, MSR_SYSCFG, &Value));
  ZppExpect (Cpu, "encryption in SYSCFG", 0, Value & SYSCFG_ENCRYPTION);
  ZppExpect (Cpu, "fault on SYSCFG.SMEE", VECTOR_GP, ZppWriteMsr (Cpu, MSR_SYSCFG, Value | BIT23));
  ZppExpect (Cpu, "fault on restoring SYSCFG", VECTOR_NONE, ZppWriteMsr (Cpu, MSR_SYSCFG, Value));
}

STATIC
VOID
Routing (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT32  Index;
  UINT64  Value;

  ZppExpect (Cpu, "fault on an IORR without a mask", VECTOR_NONE, ZppWriteMsr (Cpu, MSR_IORR_BASE0, 0));
  ZppExpect (Cpu, "fault on an IORR over all memory", VECTOR_GP, ZppWriteMsr (Cpu, MSR_IORR_MASK0, IORR_VALID));
  ZppExpect (Cpu, "fault on TOP_MEM 0", VECTOR_GP, ZppWriteMsr (Cpu, MSR_TOP_MEM, 0));
  for (Index = MSR_SMBASE; Index <= MSR_SMM_MASK; Index++) {
    if (ZppReadMsr (Cpu, Index, &Value) == VECTOR_NONE) {
      ZppExpect (Cpu, "fault on the value that it has", VECTOR_NONE, ZppWriteMsr (Cpu, Index, Value));
      ZppExpect (Cpu, "fault on moving SMRAM", VECTOR_GP, ZppWriteMsr (Cpu, Index, Value ^ BIT20));
    }
  }
}

CONST ZPP_CHECK  gZppRoutingChecks[] = {
  { "the local APIC cannot be moved",             CheckAmdv, ApicBase         },
  { "memory encryption does not exist",           CheckAmdv, MemoryEncryption },
  { "the hypervisor's memory stays where it is",  CheckAmdv, Routing          },
  { NULL }
};
