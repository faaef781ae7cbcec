/** @file
  The local APIC of the current CPU, in xAPIC or x2APIC mode.
**/
#include "Apic.h"

#include <Library/BaseLib.h>

#define MSR_APIC_BASE     0x1b
#define APIC_BASE_X2      BIT10
#define APIC_BASE_MASK    0xffffffffff000ull
#define X2APIC_MSR        0x800
#define X2APIC_ICR        0x830
#define APIC_ICR_LOW      0x300
#define APIC_ICR_HIGH     0x310
#define ICR_FIXED         (0u << 8)
#define ICR_NMI           (4u << 8)
#define ICR_INIT          (5u << 8)
#define ICR_SIPI          (6u << 8)
#define ICR_ASSERT        BIT14
#define ICR_PENDING       BIT12

BOOLEAN
ZppApicIsX2 (
  VOID
  )
{
  return (AsmReadMsr64 (MSR_APIC_BASE) & APIC_BASE_X2) != 0;
}

VOID
ZppApicEnterX2 (
  VOID
  )
{
  AsmWriteMsr64 (MSR_APIC_BASE, AsmReadMsr64 (MSR_APIC_BASE) | APIC_BASE_X2);
}

/**
  The base address of the registers in xAPIC mode.

  @return The address.
**/
STATIC
UINTN
Base (
  VOID
  )
{
  return (UINTN)(AsmReadMsr64 (MSR_APIC_BASE) & APIC_BASE_MASK);
}

UINT64
ZppApicEoiAddress (
  VOID
  )
{
  return ZppApicIsX2 () ? 0 : Base () + APIC_EOI;
}

UINT32
ZppApicRead (
  IN UINT32  Register
  )
{
  if (ZppApicIsX2 ()) {
    return (UINT32)AsmReadMsr64 (X2APIC_MSR + Register / 16);
  }

  return *(volatile UINT32 *)(Base () + Register);
}

VOID
ZppApicWrite (
  IN UINT32  Register,
  IN UINT32  Value
  )
{
  if (ZppApicIsX2 ()) {
    AsmWriteMsr64 (X2APIC_MSR + Register / 16, Value);
  } else {
    *(volatile UINT32 *)(Base () + Register) = Value;
  }
}

UINT32
ZppApicId (
  VOID
  )
{
  return ZppApicIsX2 () ? ZppApicRead (APIC_ID) : ZppApicRead (APIC_ID) >> 24;
}

/**
  Sends an IPI, and waits until it has been sent.

  @param[in] Id       The receiver's local APIC ID.
  @param[in] Command  The ICR's low half.
**/
STATIC
VOID
Send (
  IN UINT32  Id,
  IN UINT32  Command
  )
{
  if (ZppApicIsX2 ()) {
    AsmWriteMsr64 (X2APIC_ICR, LShiftU64 (Id, 32) | Command);
    return;
  }

  ZppApicWrite (APIC_ICR_HIGH, Id << 24);
  ZppApicWrite (APIC_ICR_LOW, Command);
  while ((ZppApicRead (APIC_ICR_LOW) & ICR_PENDING) != 0) {
    CpuPause ();
  }
}

VOID
ZppApicSendInit (
  IN UINT32  Id
  )
{
  Send (Id, ICR_INIT | ICR_ASSERT);
}

VOID
ZppApicSendSipi (
  IN UINT32  Id,
  IN UINT8   Vector
  )
{
  Send (Id, ICR_SIPI | ICR_ASSERT | Vector);
}

VOID
ZppApicInterruptSelf (
  IN UINT8  Vector
  )
{
  Send (ZppApicId (), ICR_FIXED | ICR_ASSERT | Vector);
}

VOID
ZppApicNmiSelf (
  VOID
  )
{
  Send (ZppApicId (), ICR_NMI | ICR_ASSERT);
}
