/** @file
  A machine check, which the emulator raises while this CPU waits. The host takes machine checks while it takes an NMI:
  with NMIs they can hit the host, without them they cannot.
**/
#include "Checks.h"
#include "Apic.h"

#include <Library/BaseLib.h>
#include <Library/UefiLib.h>

#define MSR_MCG_STATUS  0x17a
#define MSR_MC1_ADDR    0x406
#define MCG_RIPV        BIT0
#define MCG_MCIP        BIT2
#define CR4_MCE         BIT6
#define ERROR_ADDRESS   0x1234000
#define NMIS_MAX        1000000u
#define IN_HOST         1
#define WITHOUT_MCE     2
#define IN_GUEST        3

/**
  Sends NMIs until a machine check ends the call.

  @param[in,out] Argument  Their number.
**/
STATIC
VOID
EFIAPI
SendNmis (
  IN OUT VOID  *Argument
  )
{
  volatile UINT32  *Sent;

  Sent = Argument;
  while (*Sent < NMIS_MAX) {
    ++*Sent;
    ZppApicNmiSelf ();
  }
}

/**
  Waits without an NMI until a machine check ends the call.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
Spin (
  IN OUT VOID  *Argument
  )
{
  for ( ; ; ) {
    CpuPause ();
  }
}

/**
  Waits for the machine check.

  @param[in,out] Cpu  The CPU.
**/
STATIC
VOID
MachineCheck (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINTN            Cr4;
  UINT64           Vector;
  volatile UINT32  Sent;

  Sent                           = 0;
  Cpu->Faults->Count[VECTOR_NMI] = 0;
  Cr4 = AsmReadCr4 ();
  if (Cpu->Test->Options.MachineCheck == WITHOUT_MCE) {
    AsmWriteCr4 (Cr4 & ~(UINTN)CR4_MCE);
  } else {
    AsmWriteCr4 (Cr4 | CR4_MCE);
  }

  Vector = ZppGuardedCall (
             Cpu->Faults,
             Cpu->Test->Options.MachineCheck == IN_GUEST ? Spin : SendNmis,
             (VOID *)&Sent
             );
  AsmWriteCr4 (Cr4);
  ZppExpect (Cpu, "vector", VECTOR_MC, Vector);
  ZppExpect (Cpu, "MCG_STATUS", MCG_RIPV | MCG_MCIP, AsmReadMsr64 (MSR_MCG_STATUS));
  ZppExpect (Cpu, "address in the bank", ERROR_ADDRESS, AsmReadMsr64 (MSR_MC1_ADDR));
  AsmWriteMsr64 (MSR_MCG_STATUS, 0);
  if (Cpu->Test->Options.MachineCheck == IN_HOST) {
    ZppExpect (Cpu, "NMIs", Sent, Cpu->Faults->Count[VECTOR_NMI]);
  }
}

VOID
ZppCheckMachineCheck (
  IN OUT ZPP_TEST  *Test
  )
{
  STATIC CONST ZPP_CHECK  Check = { "a machine check arrives", CheckAlways, MachineCheck };

  Print (L"waiting for a machine check\n");
  ZppRunCheck (Test, &Check);
}
