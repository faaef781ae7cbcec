/** @file
  A kernel's half of the address space, beside UEFI's one-to-one mapping.
**/
#ifndef ZPP_TEST_MAPPING_H_
#define ZPP_TEST_MAPPING_H_

#include <Uefi.h>

#define ZPP_DRIVER_ADDRESS      0xfffff80456670000ULL ///< Where the driver is.
#define ZPP_CONTIGUOUS_ADDRESS  0xffffd98000000000ULL ///< Where contiguous memory begins.

typedef enum {
  ZppReadOnly,
  ZppReadWrite,
  ZppExecute
} ZPP_ACCESS;

/**
  Maps pages, for all CPUs. They share the BSP's page tables.

  @param[in] Virtual   Where, a multiple of 4 KiB in the upper half.
  @param[in] Physical  What.
  @param[in] Pages     How many pages of 4 KiB.
  @param[in] Access    What may be done there.
**/
VOID
ZppMapPages (
  IN UINT64      Virtual,
  IN UINT64      Physical,
  IN UINTN       Pages,
  IN ZPP_ACCESS  Access
  );

/**
  Takes pages away.

  @param[in] Virtual  Where.
  @param[in] Pages    How many.
**/
VOID
ZppUnmapPages (
  IN UINT64  Virtual,
  IN UINTN   Pages
  );

/**
  The physical address that a virtual one is mapped to, wherever it is.

  @param[in] Virtual  The address.

  @return The physical address, or MAX_UINT64 if there is none.
**/
UINT64
ZppPhysicalOf (
  IN UINT64  Virtual
  );

#endif
