/** @file
  The hypervisor's memory: reserved from the OS, in as few pieces as the firmware has it.
**/
#ifndef ZPP_DXE_MEMORY_H_
#define ZPP_DXE_MEMORY_H_

#include <Uefi.h>
#include <zpp/boot_info.h>

typedef struct {
  struct zpp_memory_range    Ranges[ZPP_MEMORY_RANGES_MAX];
  UINT32                     Count;
} ZPP_MEMORY;

/**
  Allocates memory that the OS will leave alone for ever.

  @param[in]  Pages   How many pages of 4 KiB.
  @param[out] Memory  The ranges that were allocated.

  @retval EFI_SUCCESS           All of it was allocated.
  @retval EFI_OUT_OF_RESOURCES  The machine has not enough memory; nothing stays allocated.
**/
EFI_STATUS
ZppAllocateMemory (
  IN  UINTN       Pages,
  OUT ZPP_MEMORY  *Memory
  );

/**
  Gives the memory back to the firmware.

  @param[in,out] Memory  What ZppAllocateMemory() allocated; empty afterwards.
**/
VOID
ZppFreeMemory (
  IN OUT ZPP_MEMORY  *Memory
  );

#endif
