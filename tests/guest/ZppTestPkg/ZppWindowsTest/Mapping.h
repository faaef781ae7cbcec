/** @file
  The upper half of the address space, next to UEFI's identity mapping.
**/
#ifndef ZPP_TEST_MAPPING_H_
#define ZPP_TEST_MAPPING_H_

#include <Uefi.h>

#define ZPP_DRIVER_ADDRESS      0xfffff80456670000ULL ///< The driver's address.
#define ZPP_CONTIGUOUS_ADDRESS  0xffffd98000000000ULL ///< The start of contiguous memory.

typedef enum {
  ZppReadOnly,
  ZppReadWrite,
  ZppExecute
} ZPP_ACCESS;

/**
  Maps pages for all CPUs, which share the BSP's page tables.

  @param[in] Virtual   The virtual address, a multiple of 4 KiB in the upper half.
  @param[in] Physical  The physical address.
  @param[in] Pages     The number of 4 KiB pages.
  @param[in] Access    The access rights.
**/
VOID
ZppMapPages (
  IN UINT64      Virtual,
  IN UINT64      Physical,
  IN UINTN       Pages,
  IN ZPP_ACCESS  Access
  );

/**
  Unmaps pages.

  @param[in] Virtual  The virtual address.
  @param[in] Pages    The number of pages.
**/
VOID
ZppUnmapPages (
  IN UINT64  Virtual,
  IN UINTN   Pages
  );

/**
  Translates a virtual address in either half of the address space.

  @param[in] Virtual  The address.

  @return The physical address, or MAX_UINT64 if it is not mapped.
**/
UINT64
ZppVirtualToPhysical (
  IN UINT64  Virtual
  );

#endif
