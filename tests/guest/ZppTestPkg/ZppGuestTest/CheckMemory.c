/** @file
  Nested paging: hidden memory, devices, and addresses above RAM.
**/
#include "Checks.h"
#include "Apic.h"
#include "Hypercall.h"
#include "Primitives.h"

#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <zpp/boot_info.h>

#define PATTERN        0xccccccccccccccccull
#define ELF_MAGIC      0x464c457full
#define CR4_LA57       BIT12
#define WINDOW_SLOT    256u
#define WINDOW         0xffff800000000000ull
#define PAGE_2M        0x200000ull
#define ENTRY_TABLE    0x3ull
#define ENTRY_LARGE    0x9bull ///< Present, writable, uncached, large.
#define FOUR_GIB       0x100000000ull

/// Page tables of one CPU with a window on any 2 MiB of physical memory.
typedef struct {
  UINT64    Top[512];
  UINT64    Gigabytes[512];
  UINT64    Megabytes[512];
} WINDOW_TABLES;

STATIC EFI_PHYSICAL_ADDRESS  mHidden;      ///< The reserved range where zpp is, 0 if not found.
STATIC UINT64                mHiddenPages; ///< Its pages; some may be the firmware's own.
STATIC VOID                  *mSaved;      ///< What was read there.
STATIC EFI_PHYSICAL_ADDRESS  mHigh;        ///< A page of RAM above 4 GiB for each CPU, 0 if there is none.
STATIC WINDOW_TABLES         *mTables;

/**
  Gets the memory map.

  @param[out] MapSize         Its size in bytes.
  @param[out] DescriptorSize  That of an entry.

  @return The map, which the caller frees, or NULL.
**/
STATIC
EFI_MEMORY_DESCRIPTOR *
GetMemoryMap (
  OUT UINTN  *MapSize,
  OUT UINTN  *DescriptorSize
  )
{
  EFI_MEMORY_DESCRIPTOR  *Map;
  UINTN                  Key;
  UINT32                 Version;

  *MapSize = 0;
  gBS->GetMemoryMap (MapSize, NULL, &Key, DescriptorSize, &Version);
  *MapSize += 16 * *DescriptorSize;
  Map       = AllocatePool (*MapSize);
  if ((Map != NULL) && EFI_ERROR (gBS->GetMemoryMap (MapSize, Map, &Key, DescriptorSize, &Version))) {
    FreePool (Map);
    return NULL;
  }

  return Map;
}

/**
  Takes an entry of the memory map that is of interest.

  @param[in] Entry      The entry.
  @param[in] KeptPages  How many pages zpp says it keeps.
  @param[in] CpuCount   How many CPUs there are.
**/
STATIC
VOID
LookAtEntry (
  IN CONST EFI_MEMORY_DESCRIPTOR  *Entry,
  IN UINT64                       KeptPages,
  IN UINTN                        CpuCount
  )
{
  // The smallest that is large enough: the firmware merges neighbours.
  if ((Entry->Type == EfiReservedMemoryType) && ((Entry->Attribute & EFI_MEMORY_WB) != 0) &&
      (KeptPages != 0) && (Entry->NumberOfPages >= KeptPages) &&
      ((mHidden == 0) || (Entry->NumberOfPages < mHiddenPages)))
  {
    mHidden      = Entry->PhysicalStart;
    mHiddenPages = Entry->NumberOfPages;
  }

  if ((Entry->Type == EfiConventionalMemory) && (Entry->PhysicalStart >= FOUR_GIB) &&
      (Entry->NumberOfPages >= CpuCount))
  {
    mHigh = Entry->PhysicalStart + EFI_PAGES_TO_SIZE (Entry->NumberOfPages - CpuCount);
  }
}

/**
  Finds what the memory checks look at, while boot services may be called.

  @param[in] Test  The test.
**/
VOID
ZppPrepareMemoryChecks (
  IN CONST ZPP_TEST  *Test
  )
{
  EFI_MEMORY_DESCRIPTOR  *Map;
  UINTN                  MapSize;
  UINTN                  DescriptorSize;
  UINTN                  Offset;
  UINT64                 KeptPages;

  mTables   = AllocatePages (EFI_SIZE_TO_PAGES (Test->CpuCount * sizeof (*mTables)));
  KeptPages = ZppIsHeld (Test) ? ZppCall (Test, ZPP_HYPERCALL_MEMORY, 0, 0).Rbx : 0;
  Map       = GetMemoryMap (&MapSize, &DescriptorSize);
  if (Map == NULL) {
    return;
  }

  for (Offset = 0; Offset < MapSize; Offset += DescriptorSize) {
    LookAtEntry ((EFI_MEMORY_DESCRIPTOR *)((UINTN)Map + Offset), KeptPages, Test->CpuCount);
  }

  FreePool (Map);
  mSaved = mHidden == 0 ? NULL : AllocatePages ((UINTN)mHiddenPages);
}

STATIC
VOID
HiddenReads (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  CONST volatile UINT64  *Page;
  UINT64                 Index;
  UINTN                  Word;

  ZppExpect (Cpu, "zpp's range in the memory map", TRUE, mHidden != 0);
  for (Index = 0; (mHidden != 0) && (Index < mHiddenPages); Index++) {
    Page = (UINT64 *)(UINTN)(mHidden + EFI_PAGES_TO_SIZE (Index));
    for (Word = 0; Word < EFI_PAGE_SIZE / sizeof (*Page); Word++) {
      ZppExpect (Cpu, "zpp's ELF header can be read", FALSE, (UINT32)Page[Word] == ELF_MAGIC);
      ZppExpect (Cpu, "zpp's boot_info can be read", FALSE, Page[Word] == ZPP_BOOT_INFO_MAGIC);
    }
  }
}

/**
  Tells whether this CPU is the one that writes to zpp's memory; the others leave it alone.

  @param[in,out] Cpu  The CPU; the check is skipped on the others.

  @retval TRUE   It is.
  @retval FALSE  It is not.
**/
STATIC
BOOLEAN
IsWriter (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  if ((mSaved != NULL) && (Cpu->Cpu == Cpu->Test->Bsp)) {
    return TRUE;
  }

  ZppSkip (Cpu);
  return FALSE;
}

STATIC
VOID
HiddenWrites (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  if (IsWriter (Cpu)) {
    CopyMem (mSaved, (VOID *)(UINTN)mHidden, EFI_PAGES_TO_SIZE ((UINTN)mHiddenPages));
    // A hypervisor that lived in these pages would run INT3 at its next exit.
    SetMem64 ((VOID *)(UINTN)mHidden, EFI_PAGES_TO_SIZE ((UINTN)mHiddenPages), PATTERN);
  }
}

STATIC
VOID
SurvivesWrites (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Index;

  for (Index = 0; Index < 100; Index++) {
    ZppExpect (Cpu, "CPUID", ZPP_SIGNATURE_EBX, ZppCpuid (ZPP_CPUID_SIGNATURE_LEAF, 0).Rbx);
  }

  ZppExpect (Cpu, "a hypercall", ZPP_VERSION, ZppCall (Cpu->Test, ZPP_HYPERCALL_VERSION, 0, 0).Rcx);
}

STATIC
VOID
RestoreHidden (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  if (IsWriter (Cpu)) {
    CopyMem ((VOID *)(UINTN)mHidden, mSaved, EFI_PAGES_TO_SIZE ((UINTN)mHiddenPages));
  }
}

STATIC
VOID
LocalApic (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT32  Priority;

  ZppExpect (Cpu, "version is not all ones or zero", TRUE, (ZppApicRead (APIC_VERSION) & 0xff) - 0x10u < 0x10u);
  Priority = ZppApicRead (APIC_TPR);
  ZppApicWrite (APIC_TPR, 0x20);
  ZppExpect (Cpu, "task priority", 0x20, ZppApicRead (APIC_TPR));
  ZppApicWrite (APIC_TPR, Priority);
}

/**
  Reads physical memory through a window of this CPU's own page tables.

  @param[in] Cpu      The CPU.
  @param[in] Address  The physical address.

  @return The byte there.
**/
STATIC
UINT8
ReadPhysical (
  IN CONST ZPP_TEST_CPU  *Cpu,
  IN UINT64              Address
  )
{
  WINDOW_TABLES  *Tables;
  UINT64         Cr3;
  UINT8          Byte;

  Cr3    = AsmReadCr3 ();
  Tables = &mTables[Cpu->Cpu];
  ZeroMem (Tables, sizeof (*Tables));
  CopyMem (Tables->Top, (VOID *)(UINTN)(Cr3 & ~0xfffull), sizeof (Tables->Top));
  Tables->Top[WINDOW_SLOT] = (UINTN)Tables->Gigabytes | ENTRY_TABLE;
  Tables->Gigabytes[0]     = (UINTN)Tables->Megabytes | ENTRY_TABLE;
  Tables->Megabytes[0]     = (Address & ~(PAGE_2M - 1)) | ENTRY_LARGE;

  AsmWriteCr3 ((UINTN)Tables->Top);
  Byte = *(volatile UINT8 *)(WINDOW + (Address & (PAGE_2M - 1)));
  AsmWriteCr3 (Cr3);
  return Byte;
}

STATIC
VOID
AddressesAboveRam (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Width;
  UINT64  Bit;

  if ((mTables == NULL) || ((AsmReadCr4 () & CR4_LA57) != 0)) {
    ZppSkip (Cpu);
    return;
  }

  // What is there does not matter; coming back does.
  Width = ZppCpuid (0x80000008, 0).Rax & 0xff;
  for (Bit = 36; Bit <= Width; Bit++) {
    ReadPhysical (Cpu, LShiftU64 (1, Bit) - EFI_PAGE_SIZE);
  }

  ZppExpect (Cpu, "RAM through the window", *(volatile UINT8 *)ReadPhysical, ReadPhysical (Cpu, (UINTN)ReadPhysical));
}

STATIC
VOID
RamAbove4G (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  volatile UINT64  *Page;
  UINTN            Index;

  if (mHigh == 0) {
    ZppSkip (Cpu);
    return;
  }

  Page = (UINT64 *)(UINTN)(mHigh + EFI_PAGES_TO_SIZE (Cpu->Cpu));
  for (Index = 0; Index < EFI_PAGE_SIZE / sizeof (*Page); Index++) {
    Page[Index] = PATTERN + Index + LShiftU64 (Cpu->Cpu, 32);
  }

  for (Index = 0; Index < EFI_PAGE_SIZE / sizeof (*Page); Index++) {
    ZppExpect (Cpu, "what was written", PATTERN + Index + LShiftU64 (Cpu->Cpu, 32), Page[Index]);
  }
}

CONST ZPP_CHECK  gZppMemoryChecks[] = {
  { "zpp's memory cannot be read",             CheckHeld,   HiddenReads       },
  { "zpp's memory takes writes",               CheckHeld,   HiddenWrites      },
  { "zpp survives them",                       CheckHeld,   SurvivesWrites    },
  { "zpp's memory takes writes again",         CheckHeld,   RestoreHidden     },
  { "local APIC",                              CheckAlways, LocalApic         },
  { "addresses up to the top can be read",     CheckAlways, AddressesAboveRam },
  { "RAM above 4 GiB",                         CheckAlways, RamAbove4G        },
  { NULL }
};
