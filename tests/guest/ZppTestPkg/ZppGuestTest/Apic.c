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

VOID
ZppApicSend (
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
  ZppApicSend (Id, ICR_INIT | ICR_ASSERT);
}

VOID
ZppApicSendSipi (
  IN UINT32  Id,
  IN UINT8   Vector
  )
{
  ZppApicSend (Id, ICR_SIPI | ICR_ASSERT | Vector);
}

VOID
ZppApicStart (
  IN UINT32  Id,
  IN UINT32  Init,
  IN UINT32  Sipi,
  IN UINTN   Gap
  )
{
  volatile UINT32  *Low;

  if (ZppApicIsX2 ()) {
    AsmWriteMsr64 (X2APIC_ICR, LShiftU64 (Id, 32) | Init);
    for ( ; Gap > 0; Gap--) {
      CpuPause ();
    }

    AsmWriteMsr64 (X2APIC_ICR, LShiftU64 (Id, 32) | Sipi);
    return;
  }

  ZppApicWrite (APIC_ICR_HIGH, Id << 24);
  Low  = (volatile UINT32 *)(Base () + APIC_ICR_LOW);
  *Low = Init;
  while ((*Low & ICR_PENDING) != 0) {
  }

  for ( ; Gap > 0; Gap--) {
    CpuPause ();
  }

  *Low = Sipi;
}

VOID
ZppApicInterruptSelf (
  IN UINT8  Vector
  )
{
  ZppApicSend (ZppApicId (), ICR_FIXED | ICR_ASSERT | Vector);
}

VOID
ZppApicNmiSelf (
  VOID
  )
{
  ZppApicSend (ZppApicId (), ICR_NMI | ICR_ASSERT);
}

VOID
ZppApicNmiSelfInShadow (
  IN BOOLEAN  MovSs
  )
{
  UINT32  Command;
  UINT64  Id;
  UINT64  Register;

  Command = ICR_NMI | ICR_ASSERT;
  Id      = ZppApicId ();
  if (ZppApicIsX2 ()) {
    if (MovSs) {
      __asm__ volatile ("movl %%ss, %%r8d\n movl %%r8d, %%ss\n wrmsr\n nop"
                        : : "a" (Command), "d" (Id), "c" (X2APIC_ICR) : "r8", "memory");
    } else {
      __asm__ volatile ("sti\n wrmsr\n nop\n cli" : : "a" (Command), "d" (Id), "c" (X2APIC_ICR) : "memory");
    }

    return;
  }

  Register = Base () + APIC_ICR_LOW;
  ZppApicWrite (APIC_ICR_HIGH, (UINT32)Id << 24);
  if (MovSs) {
    __asm__ volatile ("movl %%ss, %%r8d\n movl %%r8d, %%ss\n movl %0, (%1)\n nop"
                      : : "r" (Command), "r" (Register) : "r8", "memory");
  } else {
    __asm__ volatile ("sti\n movl %0, (%1)\n nop\n cli" : : "r" (Command), "r" (Register) : "memory");
  }
}
