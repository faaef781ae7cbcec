/** @file
  Nested paging: zpp's hidden memory, devices, and addresses above RAM.
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

/// Page tables of one CPU with a window to any 2 MiB of physical memory.
typedef struct {
  UINT64    Top[512];
  UINT64    Gigabytes[512];
  UINT64    Megabytes[512];
} WINDOW_TABLES;

STATIC EFI_PHYSICAL_ADDRESS  mHidden;      ///< The reserved range that contains zpp, 0 if not found.
STATIC UINT64                mHiddenPages; ///< Its pages; the firmware's own may be among them.
STATIC VOID                  *mSaved;      ///< The content read there.
STATIC EFI_PHYSICAL_ADDRESS  mHigh;        ///< One page of RAM above 4 GiB for each CPU, 0 if there is none.
STATIC WINDOW_TABLES         *mTables;

/**
  Gets the memory map.

  @param[out] MapSize         Its size in bytes.
  @param[out] DescriptorSize  The size of an entry.

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
  Checks whether an entry of the memory map is zpp's memory or RAM above 4 GiB.

  @param[in] Entry     The entry.
  @param[in] ZppPages  The number of pages that zpp reports.
  @param[in] CpuCount  The number of CPUs.
**/
STATIC
VOID
CheckEntry (
  IN CONST EFI_MEMORY_DESCRIPTOR  *Entry,
  IN UINT64                       ZppPages,
  IN UINTN                        CpuCount
  )
{
  // The smallest range that is large enough: the firmware merges adjacent ranges.
  if ((Entry->Type == EfiReservedMemoryType) && ((Entry->Attribute & EFI_MEMORY_WB) != 0) &&
      (ZppPages != 0) && (Entry->NumberOfPages >= ZppPages) &&
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

VOID
ZppPrepareMemoryChecks (
  IN CONST ZPP_TEST  *Test
  )
{
  EFI_MEMORY_DESCRIPTOR  *Map;
  UINTN                  MapSize;
  UINTN                  DescriptorSize;
  UINTN                  Offset;
  UINT64                 ZppPages;

  mTables   = AllocatePages (EFI_SIZE_TO_PAGES (Test->CpuCount * sizeof (*mTables)));
  ZppPages  = ZppExpectsZpp (Test) ? ZppCall (Test, ZPP_HYPERCALL_MEMORY, 0, 0).Rbx : 0;
  Map       = GetMemoryMap (&MapSize, &DescriptorSize);
  if (Map == NULL) {
    return;
  }

  for (Offset = 0; Offset < MapSize; Offset += DescriptorSize) {
    CheckEntry ((EFI_MEMORY_DESCRIPTOR *)((UINTN)Map + Offset), ZppPages, Test->CpuCount);
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
  Checks whether this CPU is the one that writes to zpp's memory.

  @param[in,out] Cpu  The CPU; all others skip the check.

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
    // A hypervisor in these pages would execute INT3 at the next VM exit.
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
    ZppExpect (Cpu, "CPUID", ZPP_SIGNATURE_EBX, ZppCpuid (ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY).Rbx);
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

  ZppExpect (Cpu, "the version is valid", TRUE, (ZppApicRead (APIC_VERSION) & 0xff) - 0x10u < 0x10u);
  Priority = ZppApicRead (APIC_TPR);
  ZppApicWrite (APIC_TPR, 0x20);
  ZppExpect (Cpu, "task priority", 0x20, ZppApicRead (APIC_TPR));
  ZppApicWrite (APIC_TPR, Priority);
}

/**
  Reads physical memory through a window of this CPU's own page tables.

  @param[in] Cpu      The CPU.
  @param[in] Address  The physical address.

  @return The byte at the address.
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

  // The value does not matter: the reads must not hang or fault.
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
    ZppExpect (Cpu, "the value written", PATTERN + Index + LShiftU64 (Cpu->Cpu, 32), Page[Index]);
  }
}

CONST ZPP_CHECK  gZppMemoryChecks[] = {
  { "zpp's memory cannot be read",        CheckZpp,    HiddenReads       },
  { "zpp's memory accepts writes",        CheckZpp,    HiddenWrites      },
  { "zpp survives the writes",            CheckZpp,    SurvivesWrites    },
  { "zpp's memory accepts writes again",  CheckZpp,    RestoreHidden     },
  { "local APIC",                         CheckAlways, LocalApic         },
  { "every physical address can be read", CheckAlways, AddressesAboveRam },
  { "RAM above 4 GiB",                    CheckAlways, RamAbove4G        },
  { NULL }
};
