/** @file
  The local APIC of the CPU that runs it, in either mode.
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
#define ICR_ASSERT        BIT14
#define ICR_PENDING       BIT12

/**
  Tells whether the local APIC is in x2APIC mode.

  @retval TRUE   It is.
  @retval FALSE  Its registers are in memory.
**/
BOOLEAN
ZppApicIsX2 (
  VOID
  )
{
  return (AsmReadMsr64 (MSR_APIC_BASE) & APIC_BASE_X2) != 0;
}

/**
  Switches this CPU's local APIC to x2APIC mode. The CPU must have it (CPUID.1:ECX[21]).
**/
VOID
ZppApicEnterX2 (
  VOID
  )
{
  AsmWriteMsr64 (MSR_APIC_BASE, AsmReadMsr64 (MSR_APIC_BASE) | APIC_BASE_X2);
}

/**
  The registers in memory.

  @return The first one's address.
**/
STATIC
UINTN
Base (
  VOID
  )
{
  return (UINTN)(AsmReadMsr64 (MSR_APIC_BASE) & APIC_BASE_MASK);
}

/**
  The address of the EOI register.

  @return Its address, or 0 in x2APIC mode.
**/
UINT64
ZppApicEoiAddress (
  VOID
  )
{
  return ZppApicIsX2 () ? 0 : Base () + APIC_EOI;
}

/**
  Reads a register.

  @param[in] Register  Its offset in memory.

  @return Its value.
**/
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

/**
  Writes a register.

  @param[in] Register  Its offset in memory.
  @param[in] Value     Its new value.
**/
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

/**
  This CPU's local APIC ID.

  @return The ID.
**/
UINT32
ZppApicId (
  VOID
  )
{
  return ZppApicIsX2 () ? ZppApicRead (APIC_ID) : ZppApicRead (APIC_ID) >> 24;
}

/**
  Sends an IPI to this CPU by its ID, and waits until it has been sent.

  @param[in] Command  The ICR's low half.
**/
STATIC
VOID
SendSelf (
  IN UINT32  Command
  )
{
  UINT32  Id;

  Id = ZppApicId ();
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

/**
  Sends an interrupt to this CPU, and waits until it has been sent.

  @param[in] Vector  The vector.
**/
VOID
ZppApicInterruptSelf (
  IN UINT8  Vector
  )
{
  SendSelf (ICR_FIXED | ICR_ASSERT | Vector);
}

/**
  Sends an NMI to this CPU, and waits until it has been sent.
**/
VOID
ZppApicNmiSelf (
  VOID
  )
{
  SendSelf (ICR_NMI | ICR_ASSERT);
}
