/** @file
  NMIs while another NMI is handled: none is lost, and the pending one comes right after the IRET that ends the mask.
**/
#include "Checks.h"
#include "Apic.h"
#include "Primitives.h"

#include <Library/BaseMemoryLib.h>

#define NMIS_MAX       4
#define WAIT_PAUSES    1000
#define TEST_VECTOR    0x81
#define RFLAGS_TF      BIT8
#define RFLAGS_IF      BIT9
#define DR6_DEFAULT    0xffff0ff0
#define NON_CANONICAL  0x4000000000000000ull

/// How the handler of the first NMI ends. NmiEntry.nasm has the code of each, in this order.
typedef enum {
  EndPlain,
  EndAfterSti,   ///< IRET in the shadow of STI.
  EndAfterMovSs, ///< IRET in the shadow of MOV SS.
  EndStepping    ///< IRET with RFLAGS.TF.
} NMI_END;

/// What the CPU pushes.
typedef struct {
  UINT64    Rip;
  UINT64    Cs;
  UINT64    Rflags;
  UINT64    Rsp;
  UINT64    Ss;
} NMI_FRAME;

/// A sequence of NMIs on one CPU.
typedef struct {
  UINTN              Send;      ///< The number of NMIs that the first one's handler sends.
  BOOLEAN            Interrupt; ///< That handler then executes INT, whose handler's IRET ends the mask.
  BOOLEAN            Step;      ///< It returns with RFLAGS.TF set.
  BOOLEAN            Fault;     ///< Its IRET faults.
  NMI_END            End;

  volatile UINT32    Count;
  volatile UINT32    Nested;    ///< NMIs that came in an NMI handler.
  UINT32             Depth;
  NMI_FRAME          Frame[NMIS_MAX];
} NMI_CASE;

extern CONST UINT8  ZppNmiEntry[];

/**
  Waits until an NMI has certainly arrived.
**/
STATIC
VOID
Wait (
  VOID
  )
{
  UINTN  Index;

  for (Index = 0; Index < WAIT_PAUSES; Index++) {
    CpuPause ();
  }
}

/**
  The NMI handler; NmiEntry.nasm calls it.

  @param[in,out] Frame  What the CPU pushed.

  @return How the handler ends.
**/
UINTN
EFIAPI
ZppOnNmi (
  IN OUT NMI_FRAME  *Frame
  )
{
  IA32_DESCRIPTOR  Idtr;
  NMI_CASE         *Case;
  UINTN            Index;

  AsmReadIdtr (&Idtr);
  Case = ((ZPP_FAULT_AREA *)Idtr.Base)->Faults.NmiCase;
  if (Case->Count < NMIS_MAX) {
    CopyMem (&Case->Frame[Case->Count], Frame, sizeof (*Frame));
  }

  Case->Nested += Case->Depth;
  Case->Count++;
  if (Case->Count > 1) {
    return EndPlain;
  }

  Case->Depth = 1;
  for (Index = 0; Index < Case->Send; Index++) {
    ZppApicNmiSelf ();
    Wait ();
  }

  if (Case->Interrupt) {
    __asm__ volatile ("int %0" : : "i" (TEST_VECTOR) : "memory");
  }

  Case->Depth = 0;
  if (Case->Step) {
    Frame->Rflags |= RFLAGS_TF;
  }

  if (Case->Fault) {
    Frame->Rip = NON_CANONICAL;
  }

  return Case->End;
}

/**
  Sends the first NMI.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
SendFirst (
  IN OUT VOID  *Argument
  )
{
  ZppApicNmiSelf ();
  Wait ();
}

/**
  Runs a sequence of NMIs.

  @param[in,out] Cpu         The CPU.
  @param[in,out] Case        The sequence; receives what came.
  @param[in]     Interrupts  RFLAGS.IF of the interrupted code.

  @return The vector of the fault, or VECTOR_NONE.
**/
STATIC
UINT64
Run (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN OUT NMI_CASE      *Case,
  IN     BOOLEAN       Interrupts
  )
{
  IA32_IDT_GATE_DESCRIPTOR  Before;
  IA32_IDT_GATE_DESCRIPTOR  *Gate;
  ZPP_MASKS                 Masks;
  UINT64                    Fault;

  Gate                          = &Cpu->Area->Idt[VECTOR_NMI];
  Before                        = *Gate;
  Gate->Bits.OffsetLow          = (UINT16)(UINTN)ZppNmiEntry;
  Gate->Bits.OffsetHigh         = (UINT16)((UINTN)ZppNmiEntry >> 16);
  Gate->Bits.OffsetUpper        = (UINT32)((UINTN)ZppNmiEntry >> 32);
  Cpu->Faults->NmiCase          = Case;
  Cpu->Faults->Count[VECTOR_DB] = 0;
  ZppMaskInterrupts (Cpu, &Masks);
  if (Interrupts) {
    EnableInterrupts ();
  }

  Fault = ZppGuardedCall (Cpu->Faults, SendFirst, NULL);
  Wait ();
  DisableInterrupts ();
  ZppUnmaskInterrupts (Cpu, &Masks);
  *Gate = Before;
  return Fault;
}

/**
  Runs a sequence whose pending NMI must come right after the first one's handler, with the same RFLAGS.

  @param[in,out] Cpu         The CPU.
  @param[in]     Send        The number of NMIs that the first one's handler sends, at least 1.
  @param[in]     End         How it ends.
  @param[in]     Interrupts  RFLAGS.IF of the interrupted code.
**/
STATIC
VOID
PendingComesAfterTheHandler (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     UINTN         Send,
  IN     NMI_END       End,
  IN     BOOLEAN       Interrupts
  )
{
  NMI_CASE  Case;

  ZeroMem (&Case, sizeof (Case));
  Case.Send = Send;
  Case.End  = End;
  Run (Cpu, &Case, Interrupts);
  ZppExpect (Cpu, "NMIs", 2, Case.Count);
  ZppExpect (Cpu, "NMIs in an NMI handler", 0, Case.Nested);
  ZppExpect (Cpu, "RFLAGS.IF", Interrupts ? RFLAGS_IF : 0, Case.Frame[0].Rflags & RFLAGS_IF);
  ZppExpect (Cpu, "RIP at the pending NMI", Case.Frame[0].Rip, Case.Frame[1].Rip);
  ZppExpect (Cpu, "RSP at the pending NMI", Case.Frame[0].Rsp, Case.Frame[1].Rsp);
  ZppExpect (Cpu, "RFLAGS at the pending NMI", Case.Frame[0].Rflags, Case.Frame[1].Rflags);
  ZppExpect (Cpu, "#DB", 0, Cpu->Faults->Count[VECTOR_DB]);
}

STATIC
VOID
PendingNmi (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  PendingComesAfterTheHandler (Cpu, 1, EndPlain, FALSE);
  PendingComesAfterTheHandler (Cpu, 1, EndPlain, TRUE);
}

STATIC
VOID
PendingNmisMerge (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  PendingComesAfterTheHandler (Cpu, 3, EndPlain, FALSE);
  PendingComesAfterTheHandler (Cpu, 3, EndPlain, TRUE);
}

STATIC
VOID
IretInShadow (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  PendingComesAfterTheHandler (Cpu, 1, EndAfterSti, FALSE);
  PendingComesAfterTheHandler (Cpu, 1, EndAfterSti, TRUE);
  PendingComesAfterTheHandler (Cpu, 1, EndAfterMovSs, FALSE);
  PendingComesAfterTheHandler (Cpu, 1, EndAfterMovSs, TRUE);
}

STATIC
VOID
InterruptInHandler (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  NMI_CASE  Case;
  UINTN     Interrupts;

  // The IRET of any handler ends the mask.
  for (Interrupts = 0; Interrupts < 2; Interrupts++) {
    ZeroMem (&Case, sizeof (Case));
    Case.Send      = 1;
    Case.Interrupt = TRUE;
    Run (Cpu, &Case, Interrupts != 0);
    ZppExpect (Cpu, "NMIs", 2, Case.Count);
    ZppExpect (Cpu, "NMIs in an NMI handler", 1, Case.Nested);
  }
}

STATIC
VOID
IretToStep (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  NMI_CASE  Case;

  // The pending NMI comes before the next instruction, and the trap after it.
  ZeroMem (&Case, sizeof (Case));
  Case.Send = 1;
  Case.Step = TRUE;
  Run (Cpu, &Case, FALSE);
  ZppExpect (Cpu, "NMIs", 2, Case.Count);
  ZppExpect (Cpu, "RIP at the pending NMI", Case.Frame[0].Rip, Case.Frame[1].Rip);
  ZppExpect (Cpu, "RFLAGS.TF at the pending NMI", RFLAGS_TF, Case.Frame[1].Rflags & RFLAGS_TF);
  ZppExpect (Cpu, "#DB", 1, Cpu->Faults->Count[VECTOR_DB]);
  AsmWriteDr6 (DR6_DEFAULT);
}

STATIC
VOID
IretThatIsStepped (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  NMI_CASE  Case;

  // With several CPUs, Bochs undoes an exception if a VM exit of VT-x follows it at once.
  if ((Cpu->Test->Options.Expect == ExpectVtx) && (Cpu->Test->CpuCount > 1)) {
    ZppSkip (Cpu);
    return;
  }

  ZeroMem (&Case, sizeof (Case));
  Case.Send = 1;
  Case.End  = EndStepping;
  Run (Cpu, &Case, FALSE);
  ZppExpect (Cpu, "NMIs", 2, Case.Count);
  ZppExpect (Cpu, "#DB", 1, Cpu->Faults->Count[VECTOR_DB]);
  ZppExpect (Cpu, "RIP at the #DB", Case.Frame[0].Rip, Cpu->Faults->Rip);
  AsmWriteDr6 (DR6_DEFAULT);
}

STATIC
VOID
IretThatFaults (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  NMI_CASE  Case;

  // The CPU may take the pending NMI in the handler of the fault, or after it.
  ZeroMem (&Case, sizeof (Case));
  Case.Send  = 1;
  Case.Fault = TRUE;
  ZppExpect (Cpu, "IRET to a non-canonical address", VECTOR_GP, Run (Cpu, &Case, FALSE));
  ZppExpect (Cpu, "NMIs", 2, Case.Count);
  ZppExpect (Cpu, "#DB", 0, Cpu->Faults->Count[VECTOR_DB]);
}

STATIC
VOID
NmiInShadow (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINTN      Shadow;
  ZPP_MASKS  Masks;

  // An instruction in the shadow sends an NMI, which may exit and must end the shadow.
  ZppMaskInterrupts (Cpu, &Masks);
  for (Shadow = 0; Shadow < 2; Shadow++) {
    ZppApicNmiSelfInShadow (Shadow != 0);
    Wait ();
    ZppExpect (Cpu, "NMIs", Shadow + 1, Cpu->Faults->Count[VECTOR_NMI]);
  }

  ZppUnmaskInterrupts (Cpu, &Masks);
}

CONST ZPP_CHECK  gZppNmiChecks[] = {
  { "an NMI in an NMI handler comes right after it",  CheckAlways, PendingNmi         },
  { "NMIs in an NMI handler merge to one",            CheckAlways, PendingNmisMerge   },
  { "NMI sent in the shadow of STI and MOV SS",       CheckAlways, NmiInShadow        },
  { "NMI after an IRET in an interrupt shadow",       CheckAlways, IretInShadow       },
  { "INT in an NMI handler ends the mask",            CheckAlways, InterruptInHandler },
  { "NMI and an IRET that sets RFLAGS.TF",            CheckAlways, IretToStep         },
  { "NMI and an IRET that is single-stepped",         CheckAlways, IretThatIsStepped  },
  { "NMI and an IRET that faults",                    CheckAlways, IretThatFaults     },
  { NULL }
};
