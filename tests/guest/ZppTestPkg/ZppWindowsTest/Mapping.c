/** @file
  The upper half of the address space, next to UEFI's identity mapping (four levels of tables).
**/
#include "Mapping.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Register/Intel/ArchitecturalMsr.h>

#define PRESENT     BIT0
#define WRITABLE    BIT1
#define LARGE       BIT7
#define NO_EXECUTE  BIT63
#define ADDRESS     0x000ffffffffff000ULL
#define CR0_WP      BIT16
#define EFER_NXE    BIT11
#define TOP_SHIFT   39

/**
  Writes a page-table entry, even if UEFI has mapped the table read-only.

  @param[out] Entry  The entry.
  @param[in]  Value  Its value.
**/
STATIC
VOID
WriteEntry (
  OUT UINT64  *Entry,
  IN  UINT64  Value
  )
{
  UINTN  Cr0;

  Cr0 = AsmReadCr0 ();
  AsmWriteCr0 (Cr0 & ~(UINTN)CR0_WP);
  *(volatile UINT64 *)Entry = Value;
  AsmWriteCr0 (Cr0);
}

/**
  Finds the entry that maps an address, and allocates missing tables.

  @param[in] Virtual  The address, not in a large page.

  @return The entry.
**/
STATIC
UINT64 *
FindEntry (
  IN UINT64  Virtual
  )
{
  UINT64  *Table;
  UINT64  *Entry;
  VOID    *Page;
  UINTN   Shift;

  Table = (UINT64 *)(AsmReadCr3 () & ADDRESS);
  for (Shift = TOP_SHIFT; Shift > EFI_PAGE_SHIFT; Shift -= 9) {
    Entry = &Table[RShiftU64 (Virtual, Shift) & 511];
    if ((*Entry & PRESENT) == 0) {
      Page = AllocatePages (1);
      ZeroMem (Page, EFI_PAGE_SIZE);
      WriteEntry (Entry, (UINTN)Page | PRESENT | WRITABLE);
    }

    Table = (UINT64 *)(UINTN)(*Entry & ADDRESS);
  }

  return &Table[RShiftU64 (Virtual, EFI_PAGE_SHIFT) & 511];
}

VOID
ZppMapPages (
  IN UINT64      Virtual,
  IN UINT64      Physical,
  IN UINTN       Pages,
  IN ZPP_ACCESS  Access
  )
{
  UINT64  Flags;
  UINTN   Page;

  Flags = PRESENT | (Access == ZppReadWrite ? WRITABLE : 0);
  if ((Access != ZppExecute) && ((AsmReadMsr64 (MSR_IA32_EFER) & EFER_NXE) != 0)) {
    Flags |= NO_EXECUTE;
  }

  for (Page = 0; Page < Pages; Page++) {
    WriteEntry (FindEntry (Virtual + EFI_PAGES_TO_SIZE (Page)), (Physical + EFI_PAGES_TO_SIZE (Page)) | Flags);
  }
}

VOID
ZppUnmapPages (
  IN UINT64  Virtual,
  IN UINTN   Pages
  )
{
  UINTN  Page;

  for (Page = 0; Page < Pages; Page++) {
    WriteEntry (FindEntry (Virtual + EFI_PAGES_TO_SIZE (Page)), 0);
  }

  // Flushes this CPU's TLB. The other CPUs do not use the pages any more.
  AsmWriteCr3 (AsmReadCr3 ());
}

UINT64
ZppVirtualToPhysical (
  IN UINT64  Virtual
  )
{
  UINT64  Entry;
  UINT64  Offset;
  UINTN   Shift;

  Entry = AsmReadCr3 ();
  for (Shift = TOP_SHIFT; Shift >= EFI_PAGE_SHIFT; Shift -= 9) {
    Entry = ((UINT64 *)(UINTN)(Entry & ADDRESS))[RShiftU64 (Virtual, Shift) & 511];
    if ((Entry & PRESENT) == 0) {
      return MAX_UINT64;
    }

    if ((Shift == EFI_PAGE_SHIFT) || ((Entry & LARGE) != 0)) {
      break;
    }
  }

  Offset = LShiftU64 (1, Shift) - 1;
  return (Entry & ADDRESS & ~Offset) | (Virtual & Offset);
}
