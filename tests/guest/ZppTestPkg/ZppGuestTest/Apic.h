/** @file
  The local APIC of the current CPU, in xAPIC or x2APIC mode.
**/
#ifndef ZPP_TEST_APIC_H_
#define ZPP_TEST_APIC_H_

#include <Uefi.h>

#define APIC_ID        0x20
#define APIC_VERSION   0x30
#define APIC_TPR       0x80
#define APIC_EOI       0xb0
#define APIC_LDR       0xd0
#define APIC_DFR       0xe0
#define APIC_SVR       0xf0
#define APIC_ISR       0x100
#define APIC_IRR       0x200
#define APIC_ESR       0x280
#define APIC_ICR_LOW   0x300
#define APIC_ICR_HIGH  0x310
#define APIC_TIMER     0x320
#define APIC_THERMAL   0x330
#define APIC_PMC       0x340
#define APIC_LINT0     0x350
#define APIC_LINT1     0x360
#define APIC_ERROR     0x370
#define APIC_INITIAL   0x380
#define APIC_CURRENT   0x390
#define APIC_DIVIDE    0x3e0

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
  Sends an interrupt command, and waits until it has been sent.

  @param[in] Id       The destination.
  @param[in] Command  The ICR's low half.
**/
VOID
ZppApicSend (
  IN UINT32  Id,
  IN UINT32  Command
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
  Sends INIT and SIPI as fast as possible.

  @param[in] Id    The destination.
  @param[in] Init  The ICR's low half for the INIT.
  @param[in] Sipi  The same for the SIPI.
  @param[in] Gap   The number of PAUSEs between them.
**/
VOID
ZppApicStart (
  IN UINT32  Id,
  IN UINT32  Init,
  IN UINT32  Sipi,
  IN UINTN   Gap
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

/**
  As ZppApicNmiSelf(), with an instruction in an interrupt shadow. STI leaves interrupts disabled.

  @param[in] MovSs  TRUE for the shadow of MOV SS, FALSE for that of STI.
**/
VOID
ZppApicNmiSelfInShadow (
  IN BOOLEAN  MovSs
  );

#endif
