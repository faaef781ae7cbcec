/** @file
  Puppets: APs that this program starts by INIT and SIPI, and that do what the BSP tells them.
**/
#include "Puppet.h"
#include "Apic.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/UefiBootServicesTableLib.h>

#define ICR_SIPI         0x4600
#define FLAT_CODE        0x00cf9b000000ffffull
#define FLAT_DATA        0x00cf93000000ffffull
#define SELECTOR_CODE    8
#define INTERRUPT_GATE   0x8e00
#define FAULTS           32
#define ENTRY_SIZE       8
#define XAPIC_PAGE       0xfee00000u
#define STEP_US          100
#define STEPS            200000
#define STOP_STEPS       1000
#define MOMENT_US        20000

STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Starts) == 0x800, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Command) == 0x80c, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, X2Apic) == 0x81c, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Interrupts) == 0x824, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Keep) == 0x828, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Gdtr) == 0x830, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Idtr) == 0x838, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Gdt) == 0x840, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Fault) == 0x860, "PuppetCode.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_PUPPET_PAGE, Idt) == 0x1000, "PuppetCode.nasm");

extern CONST UINT8  ZppPuppetCode[];
extern CONST UINT8  ZppPuppetEntries[];
extern CONST UINT8  ZppPuppetInterrupt[];
extern CONST UINT8  ZppPuppetCodeEnd[];

EFI_STATUS
ZppPuppetPrepare (
  OUT ZPP_PUPPET  *Puppet
  )
{
  EFI_PHYSICAL_ADDRESS  Address;
  EFI_STATUS            Status;
  ZPP_PUPPET_PAGE       *Page;
  UINTN                 Vector;
  UINT32                Entry;
  UINT32                Base;

  Address = 0xfffff;
  Status  = gBS->AllocatePages (AllocateMaxAddress, EfiBootServicesData, EFI_SIZE_TO_PAGES (sizeof (*Page)), &Address);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Page = (ZPP_PUPPET_PAGE *)(UINTN)Address;
  Base = (UINT32)Address;
  ZeroMem (Page, sizeof (*Page));
  CopyMem (Page->Code, ZppPuppetCode, MIN (sizeof (Page->Code), (UINTN)(ZppPuppetCodeEnd - ZppPuppetCode)));
  Page->X2Apic     = ZppApicIsX2 ();
  Page->Apic       = XAPIC_PAGE;
  Page->Gdt[1]     = FLAT_CODE;
  Page->Gdt[2]     = FLAT_DATA;
  Page->Gdtr.Limit = sizeof (Page->Gdt) - 1;
  Page->Idtr.Limit = sizeof (Page->Idt) - 1;
  CopyMem (Page->Gdtr.Base, &(UINT32) { Base + OFFSET_OF (ZPP_PUPPET_PAGE, Gdt) }, sizeof (UINT32));
  CopyMem (Page->Idtr.Base, &(UINT32) { Base + OFFSET_OF (ZPP_PUPPET_PAGE, Idt) }, sizeof (UINT32));
  for (Vector = 0; Vector < ARRAY_SIZE (Page->Idt); Vector++) {
    Entry = Base + (UINT32)(ZppPuppetInterrupt - ZppPuppetCode);
    if (Vector < FAULTS) {
      Entry = Base + (UINT32)(ZppPuppetEntries - ZppPuppetCode + Vector * ENTRY_SIZE);
    }

    Page->Idt[Vector] = LShiftU64 ((Entry & 0xffff0000) | INTERRUPT_GATE, 32) | (SELECTOR_CODE << 16) | (Entry & 0xffff);
  }

  Puppet->Page = Page;
  return EFI_SUCCESS;
}

UINT32
ZppPuppetSipi (
  IN CONST ZPP_PUPPET  *Puppet
  )
{
  return ICR_SIPI | (UINT32)((UINTN)Puppet->Page >> 12);
}

BOOLEAN
ZppPuppetWait (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Starts
  )
{
  UINTN  Step;

  for (Step = 0; (Step < STEPS) && (Puppet->Page->Starts < Starts); Step++) {
    gBS->Stall (STEP_US);
  }

  return (Puppet->Page->Starts == Starts) && (Puppet->Page->StartedCs == (UINTN)Puppet->Page >> 4);
}

BOOLEAN
ZppPuppetRuns (
  IN CONST ZPP_PUPPET  *Puppet
  )
{
  UINT32  Before;
  UINTN   Step;

  gBS->Stall (STEP_US);
  Before = Puppet->Page->Beats;
  for (Step = 0; (Step < STEPS) && (Puppet->Page->Beats == Before); Step++) {
    gBS->Stall (STEP_US);
  }

  return Puppet->Page->Beats != Before;
}

BOOLEAN
ZppPuppetStops (
  IN CONST ZPP_PUPPET  *Puppet
  )
{
  UINT32  Before;
  UINTN   Step;

  for (Step = 0; Step < STOP_STEPS; Step++) {
    Before = Puppet->Page->Beats;
    gBS->Stall (MOMENT_US);
    if (Puppet->Page->Beats == Before) {
      return TRUE;
    }
  }

  return FALSE;
}

BOOLEAN
ZppPuppetDo (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Command
  )
{
  UINTN  Step;

  MemoryFence ();
  Puppet->Page->Command = Command;
  for (Step = 0; (Step < STEPS) && (Puppet->Page->Command != PUPPET_NONE); Step++) {
    gBS->Stall (STEP_US);
  }

  return Puppet->Page->Command == PUPPET_NONE;
}

UINT32
ZppPuppetRead (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Register
  )
{
  Puppet->Page->Register = Register;
  return ZppPuppetDo (Puppet, PUPPET_READ) ? Puppet->Page->Value : MAX_UINT32;
}

BOOLEAN
ZppPuppetWrite (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Register,
  IN UINT32            Value
  )
{
  Puppet->Page->Register = Register;
  Puppet->Page->Value    = Value;
  Puppet->Page->High     = 0;
  return ZppPuppetDo (Puppet, PUPPET_WRITE);
}

VOID
ZppPuppetSendSelf (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Command
  )
{
  if (!Puppet->Page->X2Apic) {
    ZppPuppetWrite (Puppet, APIC_ICR_HIGH, Puppet->ApicId << 24);
  }

  Puppet->Page->Register = APIC_ICR_LOW;
  Puppet->Page->Value    = Command;
  Puppet->Page->High     = Puppet->ApicId;
  ZppPuppetDo (Puppet, PUPPET_SEND);
}
