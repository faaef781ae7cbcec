/** @file
  An IDT for each CPU that records exceptions and interrupts, and calls that survive faults.
**/
#include "Fault.h"
#include "Apic.h"

#include <Library/BaseMemoryLib.h>

#define ENTRY_SIZE      16
#define INTERRUPT_GATE  0x8e

extern CONST UINT8  ZppFaultEntries[];

STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, Resume) == 0, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, ResumeRsp) == 8, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, Vector) == 16, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, ErrorCode) == 24, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, Rip) == 32, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, EndOfInterrupt) == 40, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, Count) == 48, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULTS, Rflags) == 1072, "FaultEntry.nasm");
STATIC_ASSERT (OFFSET_OF (ZPP_FAULT_AREA, Faults) == 4096, "FaultEntry.nasm");

VOID
ZppFaultsBegin (
  IN OUT ZPP_FAULT_AREA  *Area
  )
{
  IA32_DESCRIPTOR  Idtr;
  UINTN            Vector;
  UINTN            Entry;

  DisableInterrupts ();
  ZeroMem (Area, sizeof (*Area));
  Area->Faults.Vector         = VECTOR_NONE;
  Area->Faults.EndOfInterrupt = ZppApicEoiAddress ();
  for (Vector = 0; Vector < ARRAY_SIZE (Area->Idt); Vector++) {
    Entry                               = (UINTN)ZppFaultEntries + Vector * ENTRY_SIZE;
    Area->Idt[Vector].Bits.OffsetLow    = (UINT16)Entry;
    Area->Idt[Vector].Bits.OffsetHigh   = (UINT16)(Entry >> 16);
    Area->Idt[Vector].Bits.OffsetUpper  = (UINT32)(Entry >> 32);
    Area->Idt[Vector].Bits.Selector     = AsmReadCs ();
    Area->Idt[Vector].Bits.GateType     = INTERRUPT_GATE;
  }

  AsmReadIdtr (&Area->Faults.FirmwareIdt);
  Idtr.Base  = (UINTN)Area->Idt;
  Idtr.Limit = sizeof (Area->Idt) - 1;
  AsmWriteIdtr (&Idtr);
}

VOID
ZppFaultsEnd (
  IN CONST ZPP_FAULT_AREA  *Area
  )
{
  AsmWriteIdtr (&Area->Faults.FirmwareIdt);
}
