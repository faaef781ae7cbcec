/** @file
  The state of a local APIC after an INIT (SDM Vol. 3A, 11.4.7.3).
**/
#include "Apic.h"
#include "Checks.h"
#include "Puppet.h"

#include <Library/PrintLib.h>

#define ICR_INIT      0xc500
#define ICR_FIXED     0x4000
#define LVT_MASKED    BIT16
#define SVR_ENABLED   0x1fe
#define SVR_AT_INIT   0xff
#define NAME_MAX     64

typedef struct {
  CONST CHAR8    *Name;
  UINT32         Register;
  UINT32         Before;   ///< The value that the AP writes.
  UINT32         AtInit;
  BOOLEAN        OnlyXApic;
} APIC_REGISTER;

STATIC CONST APIC_REGISTER  mRegisters[] = {
  { "LVT timer",        APIC_TIMER,   0x200a0,    LVT_MASKED,  FALSE },
  { "LVT thermal",      APIC_THERMAL, 0xa2,       LVT_MASKED,  FALSE },
  { "LVT performance",  APIC_PMC,     0x400,      LVT_MASKED,  FALSE },
  { "LVT LINT0",        APIC_LINT0,   0xa5,       LVT_MASKED,  FALSE },
  { "LVT LINT1",        APIC_LINT1,   0x400,      LVT_MASKED,  FALSE },
  { "LVT error",        APIC_ERROR,   0xa3,       LVT_MASKED,  FALSE },
  { "divide",           APIC_DIVIDE,  0xb,        0,           FALSE },
  { "initial count",    APIC_INITIAL, 0x10000,    0,           FALSE },
  { "task priority",    APIC_TPR,     0x30,       0,           FALSE },
  { "logical ID",       APIC_LDR,     0x55000000, 0,           TRUE  },
  { "destinations",     APIC_DFR,     0x0fffffff, MAX_UINT32,  TRUE  },
};

/**
  Compares a register of the AP.

  @param[in,out] Test      The test.
  @param[in]     Puppet    The AP.
  @param[in]     Name      The register's name.
  @param[in]     Register  Its offset in xAPIC mode.
  @param[in]     Expected  Its value.
**/
STATIC
VOID
Compare (
  IN OUT ZPP_TEST          *Test,
  IN     CONST ZPP_PUPPET  *Puppet,
  IN     CONST CHAR8       *Name,
  IN     UINT32            Register,
  IN     UINT32            Expected
  )
{
  CHAR8  Text[NAME_MAX];

  AsciiSPrint (Text, sizeof (Text), "local APIC after INIT: %a", Name);
  ZppReport (Test, Text, Expected, ZppPuppetRead (Puppet, Register));
}

/**
  All eight registers of IRR or ISR, or-ed.

  @param[in] Puppet    The AP.
  @param[in] Register  The first one.

  @return 0 if all are.
**/
STATIC
UINT32
ReadVectors (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Register
  )
{
  UINT32  Part;
  UINT32  All;

  All = 0;
  for (Part = 0; Part < 8; Part++) {
    All |= ZppPuppetRead (Puppet, Register + 16 * Part);
  }

  return All;
}

/**
  Sends the AP an interrupt.

  @param[in] Puppet  The AP.
  @param[in] Vector  The vector.
**/
STATIC
VOID
Interrupt (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT8             Vector
  )
{
  ZppApicSend (Puppet->ApicId, ICR_FIXED | Vector);
  ZppPuppetRuns (Puppet);
}

/**
  Lets the AP use its local APIC: an interrupt in service, others pending, and no register as at INIT.

  @param[in,out] Test    The test.
  @param[in]     Puppet  The AP.
**/
STATIC
VOID
Spoil (
  IN OUT ZPP_TEST          *Test,
  IN     CONST ZPP_PUPPET  *Puppet
  )
{
  UINTN  Index;

  ZppPuppetWrite (Puppet, APIC_TPR, 0);
  ZppPuppetWrite (Puppet, APIC_SVR, SVR_ENABLED);
  Puppet->Page->Interrupts = 0;
  Puppet->Page->Keep       = 1;
  Interrupt (Puppet, 0x61);
  ZppPuppetDo (Puppet, PUPPET_INTERRUPTS);
  Interrupt (Puppet, 0x91);
  ZppPuppetDo (Puppet, PUPPET_INTERRUPTS);
  Interrupt (Puppet, 0x50);
  Interrupt (Puppet, 0xe1);
  Interrupt (Puppet, 0x62);
  for (Index = 0; Index < ARRAY_SIZE (mRegisters); Index++) {
    if (!mRegisters[Index].OnlyXApic || !Puppet->Page->X2Apic) {
      ZppPuppetWrite (Puppet, mRegisters[Index].Register, mRegisters[Index].Before);
    }
  }

  ZppReport (Test, "interrupts that the AP took before INIT", 2, Puppet->Page->Interrupts);
  ZppReport (Test, "some are in service before INIT", TRUE, ReadVectors (Puppet, APIC_ISR) != 0);
  ZppReport (Test, "some are pending before INIT", TRUE, ReadVectors (Puppet, APIC_IRR) != 0);
}

VOID
ZppCheckApicInit (
  IN OUT ZPP_TEST          *Test,
  IN     CONST ZPP_PUPPET  *Puppet
  )
{
  UINT32  Id;
  UINTN   Index;

  Id = ZppPuppetRead (Puppet, APIC_ID);
  Spoil (Test, Puppet);
  Puppet->Page->Starts     = 0;
  Puppet->Page->Interrupts = 0;
  Puppet->Page->Keep       = 0;
  ZppApicStart (Puppet->ApicId, ICR_INIT, ZppPuppetSipi (Puppet), ZppExpectsZpp (Test) ? 0 : 200);
  ZppReport (Test, "the AP starts with pending interrupts", TRUE, ZppPuppetWait (Puppet, 1));
  for (Index = 0; Index < ARRAY_SIZE (mRegisters); Index++) {
    if (!mRegisters[Index].OnlyXApic || !Puppet->Page->X2Apic) {
      Compare (Test, Puppet, mRegisters[Index].Name, mRegisters[Index].Register, mRegisters[Index].AtInit);
    }
  }

  Compare (Test, Puppet, "current count", APIC_CURRENT, 0);
  Compare (Test, Puppet, "spurious vector", APIC_SVR, SVR_AT_INIT);
  Compare (Test, Puppet, "errors", APIC_ESR, 0);
  Compare (Test, Puppet, "ID", APIC_ID, Id);
  ZppReport (Test, "local APIC after INIT: in service", 0, ReadVectors (Puppet, APIC_ISR));
  ZppReport (Test, "local APIC after INIT: pending", 0, ReadVectors (Puppet, APIC_IRR));
  ZppPuppetWrite (Puppet, APIC_SVR, SVR_ENABLED);
  ZppPuppetDo (Puppet, PUPPET_INTERRUPTS);
  ZppReport (Test, "interrupts that the AP takes after INIT", 0, Puppet->Page->Interrupts);
  Interrupt (Puppet, 0x51);
  ZppPuppetDo (Puppet, PUPPET_INTERRUPTS);
  ZppReport (Test, "the AP takes a new interrupt", 1, Puppet->Page->Interrupts);
}
