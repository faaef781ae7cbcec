/** @file
  The local APIC of the current CPU, in xAPIC or x2APIC mode.
**/
#ifndef ZPP_TEST_APIC_H_
#define ZPP_TEST_APIC_H_

#include <Uefi.h>

#define APIC_ID       0x20
#define APIC_VERSION  0x30
#define APIC_TPR      0x80
#define APIC_EOI      0xb0

/**
  Checks whether the local APIC is in x2APIC mode.

  @retval TRUE   It is.
  @retval FALSE  It is in xAPIC mode.
**/
BOOLEAN
ZppApicIsX2 (
  VOID
  );

/**
  Switches this CPU's local APIC to x2APIC mode. The CPU must support it (CPUID.1:ECX[21]).
**/
VOID
ZppApicEnterX2 (
  VOID
  );

/**
  The address of the EOI register.

  @return Its address, or 0 in x2APIC mode.
**/
UINT64
ZppApicEoiAddress (
  VOID
  );

/**
  Reads a register.

  @param[in] Register  Its offset in xAPIC mode.

  @return Its value.
**/
UINT32
ZppApicRead (
  IN UINT32  Register
  );

/**
  Writes a register.

  @param[in] Register  Its offset in xAPIC mode.
  @param[in] Value     Its new value.
**/
VOID
ZppApicWrite (
  IN UINT32  Register,
  IN UINT32  Value
  );

/**
  This CPU's local APIC ID.

  @return The ID.
**/
UINT32
ZppApicId (
  VOID
  );

/**
  Sends INIT to a CPU.

  @param[in] Id  Its local APIC ID.
**/
VOID
ZppApicSendInit (
  IN UINT32  Id
  );

/**
  Sends SIPI to a CPU.

  @param[in] Id      Its local APIC ID.
  @param[in] Vector  The page where it starts.
**/
VOID
ZppApicSendSipi (
  IN UINT32  Id,
  IN UINT8   Vector
  );

/**
  Sends an interrupt to this CPU, and waits until it has been sent.

  @param[in] Vector  The vector.
**/
VOID
ZppApicInterruptSelf (
  IN UINT8  Vector
  );

/**
  Sends an NMI to this CPU, and waits until it has been sent.
**/
VOID
ZppApicNmiSelf (
  VOID
  );

#endif
