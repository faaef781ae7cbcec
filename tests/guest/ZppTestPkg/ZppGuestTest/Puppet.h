/** @file
  Puppets: APs that this program starts by INIT and SIPI, and that do what the BSP tells them.
**/
#ifndef ZPP_TEST_PUPPET_H_
#define ZPP_TEST_PUPPET_H_

#include <Uefi.h>

#define PUPPET_NONE        0
#define PUPPET_READ        1 ///< Read the local APIC's Register into Value.
#define PUPPET_WRITE       2 ///< Write Value, and High in x2APIC mode, to Register.
#define PUPPET_INTERRUPTS  3 ///< Take pending interrupts.
#define PUPPET_SEND        4 ///< As PUPPET_WRITE, but done before it is written.

#define PUPPET_CODE_SIZE  0x800

/// A page below 1 MiB. PuppetCode.nasm uses the offsets.
typedef struct {
  UINT8                       Code[PUPPET_CODE_SIZE];
  volatile UINT32             Starts;     ///< How often a CPU has started here,
  volatile UINT32             StartedCs;  ///< and CS at the last start.
  volatile UINT32             Beats;      ///< Grows while the CPU runs.
  volatile UINT32             Command;    ///< PUPPET_NONE when it is done.
  volatile UINT32             Register;   ///< As in xAPIC mode.
  volatile UINT32             Value;
  volatile UINT32             High;
  UINT32                      X2Apic;     ///< Whether the local APICs are in x2APIC mode.
  UINT32                      Apic;       ///< The address of the xAPIC page.
  volatile UINT32             Interrupts; ///< The number of interrupts.
  volatile UINT32             Keep;       ///< Whether interrupts get no EOI.
  UINT32                      Reserved;
  struct {
    UINT16    Limit;
    UINT16    Base[2];
  }                           Gdtr;
  UINT16                      Reserved2;
  struct {
    UINT16    Limit;
    UINT16    Base[2];
  }                           Idtr;
  UINT16                      Reserved3;
  UINT64                      Gdt[4];
  volatile UINT32             Fault;      ///< 1 + the vector of a fault; 0 without one.
  UINT8                       Stack[4096 - 0x864];
  UINT64                      Idt[256];
  UINT8                       Unused[2048];
} ZPP_PUPPET_PAGE;

typedef struct {
  UINTN              Cpu;
  UINT32             ApicId;
  ZPP_PUPPET_PAGE    *Page;
} ZPP_PUPPET;

/**
  Allocates a puppet's page and fills it.

  @param[out] Puppet  Receives the page; the other members do not change.

  @retval EFI_SUCCESS  It is ready.
  @retval other        There is no memory below 1 MiB.
**/
EFI_STATUS
ZppPuppetPrepare (
  OUT ZPP_PUPPET  *Puppet
  );

/**
  The SIPI that starts a CPU at a puppet's page.

  @param[in] Puppet  The puppet.

  @return The low half of the ICR.
**/
UINT32
ZppPuppetSipi (
  IN CONST ZPP_PUPPET  *Puppet
  );

/**
  Waits until a puppet has started.

  @param[in] Puppet  The puppet.
  @param[in] Starts  How often, since its page was filled.

  @retval TRUE   It has started so often, at its page.
  @retval FALSE  It has not, within twenty seconds.
**/
BOOLEAN
ZppPuppetWait (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Starts
  );

/**
  Checks whether a puppet runs.

  @param[in] Puppet  The puppet.

  @retval TRUE   It runs.
  @retval FALSE  It has not run for twenty seconds.
**/
BOOLEAN
ZppPuppetRuns (
  IN CONST ZPP_PUPPET  *Puppet
  );

/**
  Waits until a puppet has stopped.

  @param[in] Puppet  The puppet.

  @retval TRUE   It has not run for some milliseconds.
  @retval FALSE  It still runs after twenty seconds.
**/
BOOLEAN
ZppPuppetStops (
  IN CONST ZPP_PUPPET  *Puppet
  );

/**
  Makes a puppet do something.

  @param[in] Puppet   The puppet.
  @param[in] Command  What.

  @retval TRUE   It has done it.
  @retval FALSE  It does not answer.
**/
BOOLEAN
ZppPuppetDo (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Command
  );

/**
  Reads a register of a puppet's local APIC.

  @param[in] Puppet    The puppet.
  @param[in] Register  Its offset in xAPIC mode.

  @return Its value; all ones if the puppet does not answer.
**/
UINT32
ZppPuppetRead (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Register
  );

/**
  Writes a register of a puppet's local APIC.

  @param[in] Puppet    The puppet.
  @param[in] Register  Its offset in xAPIC mode.
  @param[in] Value     Its new value.

  @retval TRUE   It has done it.
  @retval FALSE  It does not answer.
**/
BOOLEAN
ZppPuppetWrite (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Register,
  IN UINT32            Value
  );

/**
  Makes a puppet send an interrupt command to itself. It may not have sent it on return.

  @param[in] Puppet   The puppet.
  @param[in] Command  The ICR's low half.
**/
VOID
ZppPuppetSendSelf (
  IN CONST ZPP_PUPPET  *Puppet,
  IN UINT32            Command
  );

#endif
