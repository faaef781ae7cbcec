/** @file
  An IDT for each CPU that notes exceptions and interrupts, and calls that survive them.
**/
#ifndef ZPP_TEST_FAULT_H_
#define ZPP_TEST_FAULT_H_

#include <Uefi.h>
#include <Library/BaseLib.h>

#define VECTOR_NONE  0xffu
#define VECTOR_DE    0u
#define VECTOR_DB    1u
#define VECTOR_NMI   2u
#define VECTOR_BP    3u
#define VECTOR_UD    6u
#define VECTOR_GP    13u
#define VECTOR_PF    14u

/// What happened on a CPU. FaultEntry.nasm knows the offsets.
typedef struct {
  UINT64             Resume;        ///< Where a fault inside ZppGuardedCall() goes on; 0 outside.
  UINT64             ResumeRsp;
  UINT64             Vector;        ///< The last vector, VECTOR_NONE before.
  UINT64             ErrorCode;
  UINT64             Rip;           ///< Where the last one happened.
  UINT64             EndOfInterrupt; ///< Address of the local APIC's EOI register; 0 with x2APIC.
  UINT32             Count[256];    ///< How often each vector came.
  IA32_DESCRIPTOR    FirmwareIdt;
} ZPP_FAULTS;

/// Right behind the IDT, where the entries find it by SIDT.
typedef struct {
  IA32_IDT_GATE_DESCRIPTOR    Idt[256];
  ZPP_FAULTS                  Faults;
} ZPP_FAULT_AREA;

/**
  A function that may fault.

  @param[in,out] Argument  What was given to ZppGuardedCall().
**/
typedef
VOID
(EFIAPI *ZPP_GUARDED)(
  IN OUT VOID  *Argument
  );

/**
  Calls a function and comes back even if it faults.

  @param[in,out] Faults    This CPU's faults.
  @param[in]     Function  The function.
  @param[in,out] Argument  Given to it.

  @return The vector of the fault, or VECTOR_NONE.
**/
UINT64
EFIAPI
ZppGuardedCall (
  IN OUT ZPP_FAULTS   *Faults,
  IN     ZPP_GUARDED  Function,
  IN OUT VOID         *Argument OPTIONAL
  );

/**
  Turns interrupts off and installs the IDT on the CPU that runs it.

  @param[in,out] Area  This CPU's area.
**/
VOID
ZppFaultsBegin (
  IN OUT ZPP_FAULT_AREA  *Area
  );

/**
  Gives the CPU its IDT back. Interrupts stay off.

  @param[in] Area  This CPU's area.
**/
VOID
ZppFaultsEnd (
  IN CONST ZPP_FAULT_AREA  *Area
  );

#endif
