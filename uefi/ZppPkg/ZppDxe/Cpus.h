/** @file
  Running a function on every CPU of the machine.
**/
#ifndef ZPP_DXE_CPUS_H_
#define ZPP_DXE_CPUS_H_

#include <PiDxe.h>
#include <Protocol/MpService.h>

typedef struct {
  EFI_MP_SERVICES_PROTOCOL    *Services;
  UINTN                       Count; ///< All of the machine's CPUs, the disabled ones too.
  UINTN                       Bsp;   ///< This CPU's number.
} ZPP_CPUS;

typedef enum {
  ZppBspFirst, ///< A launch: from then on the core sees the INITs that wake the APs (AMD-V).
  ZppBspLast   ///< A roll-back, for the same reason.
} ZPP_CPU_ORDER;

/**
  Runs on one CPU. It must not call boot services.

  @param[in,out] Context  What was given to ZppRunOnEveryCpu().
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

  @retval EFI_SUCCESS    They are known.
  @retval EFI_NOT_FOUND  The firmware has no MP services.
  @retval other          What the MP services returned.
**/
EFI_STATUS
ZppFindCpus (
  OUT ZPP_CPUS  *Cpus
  );

/**
  Runs a function on every CPU: on all APs at once, and on this one, the BSP.

  APs that the firmware had disabled are woken for it, since an OS can wake them too, and
  disabled again.

  @param[in]     Cpus      The machine's CPUs.
  @param[in]     Order     Whether the BSP comes before the APs or after them.
  @param[in]     Function  What to run.
  @param[in,out] Context   Given to Function.

  @retval EFI_SUCCESS  The function ran to its end on every CPU.
  @retval EFI_TIMEOUT  An AP did not come back; it may still be running the function.
  @retval other        What the MP services returned; no AP runs the function.
**/
EFI_STATUS
ZppRunOnEveryCpu (
  IN     CONST ZPP_CPUS    *Cpus,
  IN     ZPP_CPU_ORDER     Order,
  IN     ZPP_CPU_FUNCTION  Function,
  IN OUT VOID              *Context
  );

/**
  Finds the APIC IDs of all CPUs.

  @param[in]  Cpus     The machine's CPUs.
  @param[out] ApicIds  Gets Count IDs, by the CPUs' numbers.

  @retval EFI_SUCCESS  They are known.
  @retval other        What the MP services returned.
**/
EFI_STATUS
ZppFindApicIds (
  IN  CONST ZPP_CPUS  *Cpus,
  OUT UINT32          *ApicIds
  );

#endif
