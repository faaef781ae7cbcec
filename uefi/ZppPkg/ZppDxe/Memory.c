/** @file
  The hypervisor's memory: reserved from the OS, in as few ranges as possible.
**/
#include "Memory.h"

#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>

//
// The core's log must still be in memory when the firmware starts again, so the memory is not where
// firmware works: most firmware has its own memory near the top below 4 GiB, and OVMF has some below
// 26 MiB. Kernels want to be at 16 MiB.
//
#define LOWEST_ADDRESS  SIZE_64MB

/**
  Allocates one range at the lowest free address from LOWEST_ADDRESS, below 4 GiB: the same one after a
  reset.

  @param[in]     Pages   The range's pages.
  @param[in,out] Memory  The ranges, to which it is appended.

  @retval TRUE   The range is allocated.
  @retval FALSE  There is none there.
**/
STATIC
BOOLEAN
AllocateLowRange (
  IN     UINTN       Pages,
  IN OUT ZPP_MEMORY  *Memory
  )
{
  EFI_MEMORY_DESCRIPTOR  *Map;
  EFI_MEMORY_DESCRIPTOR  *Entry;
  UINTN                  MapSize;
  UINTN                  Key;
  UINTN                  EntrySize;
  UINT32                 Version;
  EFI_PHYSICAL_ADDRESS   Address;
  EFI_PHYSICAL_ADDRESS   End;
  EFI_PHYSICAL_ADDRESS   Best;

  MapSize = 0;
  if (gBS->GetMemoryMap (&MapSize, NULL, &Key, &EntrySize, &Version) != EFI_BUFFER_TOO_SMALL) {
    return FALSE;
  }

  // The allocation itself may add entries.
  MapSize += 8 * EntrySize;
  Map      = AllocatePool (MapSize);
  if (Map == NULL) {
    return FALSE;
  }

  Best = SIZE_4GB;
  if (!EFI_ERROR (gBS->GetMemoryMap (&MapSize, Map, &Key, &EntrySize, &Version))) {
    for (Entry = Map; (UINT8 *)Entry < (UINT8 *)Map + MapSize; Entry = (VOID *)((UINT8 *)Entry + EntrySize)) {
      Address = MAX (Entry->PhysicalStart, LOWEST_ADDRESS);
      End     = Entry->PhysicalStart + EFI_PAGES_TO_SIZE (Entry->NumberOfPages);
      if ((Entry->Type == EfiConventionalMemory) && (Address < End) && (End - Address >= EFI_PAGES_TO_SIZE (Pages))) {
        Best = MIN (Best, Address);
      }
    }
  }

  FreePool (Map);
  if ((Best + EFI_PAGES_TO_SIZE (Pages) > SIZE_4GB) ||
      EFI_ERROR (gBS->AllocatePages (AllocateAddress, EfiReservedMemoryType, Pages, &Best)))
  {
    return FALSE;
  }

  Memory->Ranges[Memory->Count].physical = Best;
  Memory->Ranges[Memory->Count].pages    = Pages;
  Memory->Count++;
  return TRUE;
}

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
  if (AllocateLowRange (Pages, Memory)) {
    return EFI_SUCCESS;
  }

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
