/** @file
  An IDT for each CPU that records exceptions and interrupts, and calls that survive faults.
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
#define VECTOR_MC    18u

/// The exceptions and interrupts on a CPU. FaultEntry.nasm uses the offsets.
typedef struct {
  UINT64             Resume;        ///< Where execution resumes after a fault in ZppGuardedCall(); 0 outside.
  UINT64             ResumeRsp;
  UINT64             Vector;        ///< The last vector; VECTOR_NONE if there was none.
  UINT64             ErrorCode;
  UINT64             Rip;           ///< RIP at the last one.
  UINT64             EndOfInterrupt; ///< Address of the local APIC's EOI register; 0 with x2APIC.
  UINT32             Count[256];    ///< The number of times each vector came.
  UINT64             Rflags;        ///< RFLAGS as the last one pushed it.
  IA32_DESCRIPTOR    FirmwareIdt;
  VOID               *NmiCase;       ///< The sequence of NMIs that runs; see CheckNmi.c.
} ZPP_FAULTS;

/// The faults follow the IDT, so that the entries find them by SIDT.
typedef struct {
  IA32_IDT_GATE_DESCRIPTOR    Idt[256];
  ZPP_FAULTS                  Faults;
} ZPP_FAULT_AREA;

/**
  A function that may fault.

  @param[in,out] Argument  The Argument of ZppGuardedCall().
**/
typedef
VOID
(EFIAPI *ZPP_GUARDED)(
  IN OUT VOID  *Argument
  );

/**
  Calls a function, and returns even if it faults.

  @param[in,out] Faults    This CPU's faults.
  @param[in]     Function  The function.
  @param[in,out] Argument  Passed to Function.

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
  Disables interrupts and loads the IDT on the current CPU.

  @param[in,out] Area  This CPU's area.
**/
VOID
ZppFaultsBegin (
  IN OUT ZPP_FAULT_AREA  *Area
  );

/**
  Restores the CPU's IDT. Interrupts stay disabled.

  @param[in] Area  This CPU's area.
**/
VOID
ZppFaultsEnd (
  IN CONST ZPP_FAULT_AREA  *Area
  );

#endif
