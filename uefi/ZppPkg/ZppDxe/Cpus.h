/** @file
  Runs a function on every CPU of the machine.
**/
#ifndef ZPP_DXE_CPUS_H_
#define ZPP_DXE_CPUS_H_

#include <PiDxe.h>
#include <Protocol/MpService.h>

typedef struct {
  EFI_MP_SERVICES_PROTOCOL    *Services;
  UINTN                       Count; ///< All CPUs of the machine, including disabled ones.
  UINTN                       Bsp;   ///< This CPU's number.
} ZPP_CPUS;

typedef enum {
  ZppBspFirst, ///< For a launch: then the core intercepts the INITs that wake the APs (AMD-V).
  ZppBspLast   ///< For a rollback, for the same reason.
} ZPP_CPU_ORDER;

/**
  Runs on one CPU. It must not call boot services.

  @param[in,out] Context  The Context of ZppRunOnEveryCpu().
  @param[in]     Cpu      The CPU's number, 0 .. Count - 1.
**/
typedef
VOID
(*ZPP_CPU_FUNCTION) (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  );

/**
  Finds the machine's CPUs.

  @param[out] Cpus  The machine's CPUs.

  @retval EFI_SUCCESS    The CPUs are known.
  @retval EFI_NOT_FOUND  The firmware has no MP services.
  @retval other          The MP services' error.
**/
EFI_STATUS
ZppFindCpus (
  OUT ZPP_CPUS  *Cpus
  );

/**
  Runs a function on every CPU: on all APs at once, and on the current CPU, which is the BSP.

  APs that the firmware has disabled are enabled for the call and disabled again: an operating
  system can start them, too.

  @param[in]     Cpus      The machine's CPUs.
  @param[in]     Order     Whether the BSP runs it before the APs or after them.
  @param[in]     Function  The function.
  @param[in,out] Context   Passed to Function.

  @retval EFI_SUCCESS  The function returned on every CPU.
  @retval EFI_TIMEOUT  An AP did not return; it may still run the function.
  @retval other        The MP services' error; no AP runs the function.
**/
EFI_STATUS
ZppRunOnEveryCpu (
  IN     CONST ZPP_CPUS    *Cpus,
  IN     ZPP_CPU_ORDER     Order,
  IN     ZPP_CPU_FUNCTION  Function,
  IN OUT VOID              *Context
  );

/**
  Gets the APIC IDs of all CPUs.

  @param[in]  Cpus     The machine's CPUs.
  @param[out] ApicIds  Receives Count IDs, indexed by CPU number.

  @retval EFI_SUCCESS  The IDs are known.
  @retval other        The MP services' error.
**/
EFI_STATUS
ZppFindApicIds (
  IN  CONST ZPP_CPUS  *Cpus,
  OUT UINT32          *ApicIds
  );

#endif
