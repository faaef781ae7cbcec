/** @file
  The core, hypervisor.elf, which is part of the driver: placed in memory and prepared.
**/
#ifndef ZPP_DXE_CORE_H_
#define ZPP_DXE_CORE_H_

#include "Cpus.h"
#include "Memory.h"
#include "Settings.h"

#include <loader/loader.h>

/**
  Allocates the core's memory and prepares the core there.

  @param[in,out] Loader    Zero-filled; the loader's state.
  @param[out]    Memory    The core's memory, which the caller frees after a failure.
  @param[in]     Cpus      The machine's CPUs.
  @param[in]     ApicIds   The APIC ID of each CPU.
  @param[in]     Settings  The user's settings.

  @retval ZPP_OK  The core can be launched.
  @retval other   The error; zpp_loader_detail() gives its detail.
**/
enum zpp_status
ZppPrepareCore (
  IN OUT struct zpp_loader   *Loader,
  OUT    ZPP_MEMORY          *Memory,
  IN     CONST ZPP_CPUS      *Cpus,
  IN     CONST UINT32        *ApicIds,
  IN     CONST ZPP_SETTINGS  *Settings
  );

#endif
