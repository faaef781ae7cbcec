/** @file
  The state of a CPU that a launch and a rollback must not change.
**/
#ifndef ZPP_TEST_CPU_STATE_H_
#define ZPP_TEST_CPU_STATE_H_

#include <Uefi.h>

typedef enum {
  StateCr0,
  StateCr2,
  StateCr3,
  StateCr4,
  StateCr8,
  StateDr6,
  StateDr7,
  StateEfer,
  StatePat,
  StateFsBase,
  StateGsBase,
  StateKernelGsBase,
  StateSysenterCs,
  StateSysenterEsp,
  StateSysenterEip,
  StateDebugCtl,
  StateStar,
  StateLstar,
  StateCstar,
  StateSfmask,
  StateApicBase,
  StateFeatureControl,
  StateMtrrDefault,
  StateVmCr,
  StateVmHsavePa,
  StateSpecCtrl,
  StateXcr0,
  StateGdtBase,
  StateGdtLimit,
  StateIdtBase,
  StateIdtLimit,
  StateTr,
  StateLdtr,
  StateSelectors,
  StateFlags,
  StateCpuidFeatures,
  StateMax
} ZPP_CPU_STATE_ITEM;

typedef struct {
  UINT64    Item[StateMax];
} ZPP_CPU_STATE;

/// The names of the items.
extern CONST CHAR8  *CONST  gZppCpuStateNames[StateMax];

/**
  Checks whether the CPU has AMD-V, and no hypervisor hides it.

  @retval TRUE   It has.
  @retval FALSE  It does not.
**/
BOOLEAN
ZppHasSvm (
  VOID
  );

/**
  Reads the state of the current CPU.

  @param[out] State  The state.
**/
VOID
ZppReadCpuState (
  OUT ZPP_CPU_STATE  *State
  );

#endif
