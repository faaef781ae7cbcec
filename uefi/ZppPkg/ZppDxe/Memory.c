/** @file
  The hypervisor's memory: reserved from the OS, in as few ranges as possible.
**/
#include "Memory.h"

#include <Library/UefiBootServicesTableLib.h>

/**
  Allocates one more range, as large as possible up to a limit.

  @param[in]     MaxPages  The limit.
  @param[in,out] Memory    The ranges, to which it is appended.

  @return The range's pages, or 0 if no memory is left.
**/
STATIC
UINTN
AllocateRange (
  IN     UINTN       MaxPages,
  IN OUT ZPP_MEMORY  *Memory
  )
{
  EFI_PHYSICAL_ADDRESS  Address;
  UINTN                 Pages;

  for (Pages = MaxPages; Pages != 0; Pages /= 2) {
    if (!EFI_ERROR (gBS->AllocatePages (AllocateAnyPages, EfiReservedMemoryType, Pages, &Address))) {
      Memory->Ranges[Memory->Count].physical = Address;
      Memory->Ranges[Memory->Count].pages    = Pages;
      Memory->Count++;
      return Pages;
    }
  }

  return 0;
}

EFI_STATUS
ZppAllocateMemory (
  IN  UINTN       Pages,
  OUT ZPP_MEMORY  *Memory
  )
{
  UINTN  Allocated;

  Memory->Count = 0;
  while (Pages != 0) {
    Allocated = Memory->Count < ZPP_MEMORY_RANGES_MAX ? AllocateRange (Pages, Memory) : 0;
    if (Allocated == 0) {
      ZppFreeMemory (Memory);
      return EFI_OUT_OF_RESOURCES;
    }

    Pages -= Allocated;
  }

  return EFI_SUCCESS;
}

VOID
ZppFreeMemory (
  IN OUT ZPP_MEMORY  *Memory
  )
{
  while (Memory->Count != 0) {
    Memory->Count--;
    gBS->FreePages (Memory->Ranges[Memory->Count].physical, (UINTN)Memory->Ranges[Memory->Count].pages);
  }
}
