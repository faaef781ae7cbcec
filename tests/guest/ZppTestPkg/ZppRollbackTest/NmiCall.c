/** @file
  Calls a function in an NMI handler, while another NMI is pending.
**/
#include "NmiCall.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>

#define MSR_APIC_BASE   0x1b
#define APIC_BASE_MASK  0xffffffffff000ull
#define APIC_ID         0x20
#define ICR_LOW         0x300
#define ICR_HIGH        0x310
#define ICR_NMI         (BIT14 | (4u << 8))
#define ICR_PENDING     BIT12
#define VECTOR_NMI      2
#define WAIT_PAUSES     10000u

STATIC IA32_IDT_GATE_DESCRIPTOR  mIdt[256];
STATIC ZPP_NMI_FUNCTION          mFunction;
STATIC VOID                      *mArgument;
STATIC volatile UINT32           mArrived;

/**
  Sends an NMI to this CPU, and waits until it has certainly arrived.
**/
STATIC
VOID
SendToSelf (
  VOID
  )
{
  UINTN   Apic;
  UINT32  Index;

  Apic                                  = (UINTN)(AsmReadMsr64 (MSR_APIC_BASE) & APIC_BASE_MASK);
  *(volatile UINT32 *)(Apic + ICR_HIGH) = *(volatile UINT32 *)(Apic + APIC_ID);
  *(volatile UINT32 *)(Apic + ICR_LOW)  = ICR_NMI;
  while ((*(volatile UINT32 *)(Apic + ICR_LOW) & ICR_PENDING) != 0) {
    CpuPause ();
  }

  for (Index = 0; Index < WAIT_PAUSES; Index++) {
    CpuPause ();
  }
}

/**
  The NMI handler's part in C.
**/
VOID
EFIAPI
ZppOnNmi (
  VOID
  )
{
  if (++mArrived == 1) {
    SendToSelf ();
    mFunction (mArgument);
  }
}

/**
  The NMI handler.
**/
__attribute__ ((naked))
STATIC
VOID
OnNmi (
  VOID
  )
{
  __asm__ volatile (
    "pushq %rax\n pushq %rcx\n pushq %rdx\n pushq %rbx\n pushq %r8\n pushq %r9\n pushq %r10\n pushq %r11\n"
    "movq %rsp, %rbx\n andq $-16, %rsp\n subq $32, %rsp\n"
    "call ZppOnNmi\n"
    "movq %rbx, %rsp\n"
    "popq %r11\n popq %r10\n popq %r9\n popq %r8\n popq %rbx\n popq %rdx\n popq %rcx\n popq %rax\n"
    "iretq"
    );
}

UINT32
ZppCallInNmi (
  IN     ZPP_NMI_FUNCTION  Function,
  IN OUT VOID              *Argument
  )
{
  IA32_DESCRIPTOR  Firmware;
  IA32_DESCRIPTOR  Own;
  BOOLEAN          Interrupts;

  mFunction  = Function;
  mArgument  = Argument;
  mArrived   = 0;
  Interrupts = SaveAndDisableInterrupts ();
  AsmReadIdtr (&Firmware);
  CopyMem (mIdt, (VOID *)Firmware.Base, Firmware.Limit + 1u);
  mIdt[VECTOR_NMI].Bits.OffsetLow   = (UINT16)(UINTN)OnNmi;
  mIdt[VECTOR_NMI].Bits.OffsetHigh  = (UINT16)((UINTN)OnNmi >> 16);
  mIdt[VECTOR_NMI].Bits.OffsetUpper = (UINT32)((UINTN)OnNmi >> 32);
  Own                               = Firmware;
  Own.Base                          = (UINTN)mIdt;
  AsmWriteIdtr (&Own);
  SendToSelf ();
  AsmWriteIdtr (&Firmware);
  SetInterruptState (Interrupts);
  return mArrived;
}
