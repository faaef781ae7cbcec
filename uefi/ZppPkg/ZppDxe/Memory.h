/** @file
  The hypervisor's memory: reserved from the OS, in as few ranges as possible.
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
  Allocates memory that the OS never uses (EfiReservedMemoryType), where a warm reset keeps it if that
  is possible.

  @param[in]  Pages   The number of 4 KiB pages.
  @param[out] Memory  The ranges that were allocated.

  @retval EFI_SUCCESS           All pages are allocated.
  @retval EFI_OUT_OF_RESOURCES  There is not enough memory; nothing stays allocated.
**/
EFI_STATUS
ZppAllocateMemory (
  IN  UINTN       Pages,
  OUT ZPP_MEMORY  *Memory
  );

/**
  Frees the memory.

  @param[in,out] Memory  The ranges from ZppAllocateMemory(); empty afterwards.
**/
VOID
ZppFreeMemory (
  IN OUT ZPP_MEMORY  *Memory
  );

#endif
