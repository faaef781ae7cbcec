/** @file
  The hypervisor's memory: reserved from the OS, in as few pieces as the firmware has it.
**/
#include "Memory.h"

#include <Library/UefiBootServicesTableLib.h>

/**
  Allocates one more range, as large as possible up to a limit.

  @param[in]     MaxPages  The most that is wanted.
  @param[in,out] Memory    Gets the range appended.

  @return The range's pages, or 0 if there is no memory left.
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

/**
  Gives the memory back to the firmware.

  @param[in,out] Memory  What ZppAllocateMemory() allocated; empty afterwards.
**/
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
