/** @file
  Code in other modes than the firmware's: 32-bit code, and CPL 3.
**/
#include "UserMode.h"

#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>

#define TSS_SELECTOR   0x50
#define TSS_SIZE       104
#define TSS_RSP0       4
#define PAGE_TABLES    6
#define TABLE_ENTRIES  512
#define PAGE_USER      0x7u ///< Present, writable, user.
#define PAGE_LARGE     0x80u
#define LARGE_SHIFT    21
#define STACK_SIZE     4096
#define GDT_ENTRIES    12

/// What one CPU needs. UserModeEntry.nasm has the selectors.
typedef struct {
  UINT64    Gdt[GDT_ENTRIES];
  UINT8     Tss[TSS_SIZE];
  UINT8     UserStack[STACK_SIZE];
  UINT8     KernelStack[STACK_SIZE];
} MODE_AREA;

STATIC MODE_AREA  *mAreas;
STATIC UINT64     *mUserTables;

/// The firmware's selectors of data (30H) and 64-bit code (38H), 32-bit code, and those of CPL 3.
STATIC CONST UINT64  mSegments[GDT_ENTRIES] = {
  [0x10 / 8] = 0x00cf9b000000ffffull,
  [0x30 / 8] = 0x00cf93000000ffffull,
  [0x38 / 8] = 0x00af9b000000ffffull,
  [0x40 / 8] = 0x00cff3000000ffffull,
  [0x48 / 8] = 0x00affb000000ffffull,
};

UINT32
EFIAPI
ZppCpuid32 (
  IN UINT32  Leaf
  );

UINT64
EFIAPI
ZppUserEnter (
  IN OUT ZPP_FAULTS   *Faults,
  IN     ZPP_GUARDED  Function,
  IN     VOID         *StackTop
  );

extern CONST UINT8  ZppUserReturned[];

/**
  Maps the first 4 GiB one to one, for CPL 3 too.
**/
STATIC
VOID
BuildUserTables (
  VOID
  )
{
  UINT64  *Pointers;
  UINT64  *Large;
  UINTN   Index;

  ZeroMem (mUserTables, EFI_PAGES_TO_SIZE (PAGE_TABLES));
  Pointers       = mUserTables + TABLE_ENTRIES;
  Large          = Pointers + TABLE_ENTRIES;
  mUserTables[0] = (UINTN)Pointers | PAGE_USER;
  for (Index = 0; Index < 4; Index++) {
    Pointers[Index] = (UINTN)(Large + TABLE_ENTRIES * Index) | PAGE_USER;
  }

  for (Index = 0; Index < 4 * TABLE_ENTRIES; Index++) {
    Large[Index] = LShiftU64 (Index, LARGE_SHIFT) | PAGE_USER | PAGE_LARGE;
  }
}

/**
  Fills a CPU's GDT and TSS.

  @param[out] Area  The CPU's area.
**/
STATIC
VOID
BuildSegments (
  OUT MODE_AREA  *Area
  )
{
  UINT64  Tss;
  UINT64  *Descriptor;

  CopyMem (Area->Gdt, mSegments, sizeof (Area->Gdt));
  ZeroMem (Area->Tss, sizeof (Area->Tss));
  WriteUnaligned64 ((UINT64 *)(Area->Tss + TSS_RSP0), (UINTN)Area->KernelStack + STACK_SIZE);
  Tss           = (UINTN)Area->Tss;
  Descriptor    = &Area->Gdt[TSS_SELECTOR / 8];
  Descriptor[0] = (TSS_SIZE - 1) | LShiftU64 (Tss & 0xffffff, 16) | LShiftU64 (0x89, 40) |
                  LShiftU64 ((Tss >> 24) & 0xff, 56);
  Descriptor[1] = RShiftU64 (Tss, 32);
}

EFI_STATUS
ZppPrepareModes (
  IN OUT ZPP_TEST  *Test
  )
{
  mAreas      = AllocatePages (EFI_SIZE_TO_PAGES (Test->CpuCount * sizeof (*mAreas)));
  mUserTables = AllocatePages (PAGE_TABLES);
  if ((mAreas == NULL) || (mUserTables == NULL)) {
    return EFI_OUT_OF_RESOURCES;
  }

  BuildUserTables ();
  return EFI_SUCCESS;
}

/**
  Loads the CPU's own GDT.

  @param[in]  Cpu       The CPU.
  @param[out] Firmware  The firmware's.

  @return The CPU's area.
**/
STATIC
MODE_AREA *
EnterSegments (
  IN  CONST ZPP_TEST_CPU  *Cpu,
  OUT IA32_DESCRIPTOR     *Firmware
  )
{
  IA32_DESCRIPTOR  Gdtr;
  MODE_AREA        *Area;

  Area = &mAreas[Cpu->Cpu];
  BuildSegments (Area);
  AsmReadGdtr (Firmware);
  Gdtr.Base  = (UINTN)Area->Gdt;
  Gdtr.Limit = sizeof (Area->Gdt) - 1;
  AsmWriteGdtr (&Gdtr);
  return Area;
}

UINT32
ZppCpuidEdxIn32BitCode (
  IN CONST ZPP_TEST_CPU  *Cpu,
  IN UINT32              Leaf
  )
{
  IA32_DESCRIPTOR  Firmware;
  UINT32           Edx;

  EnterSegments (Cpu, &Firmware);
  Edx = ZppCpuid32 (Leaf);
  AsmWriteGdtr (&Firmware);
  return Edx;
}

UINT64
ZppUserCall (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     ZPP_GUARDED   Function
  )
{
  IA32_DESCRIPTOR  Firmware;
  MODE_AREA        *Area;
  UINTN            Cr3;
  UINT64           Vector;

  Area = EnterSegments (Cpu, &Firmware);
  AsmWriteTr (TSS_SELECTOR);
  Cr3 = AsmReadCr3 ();
  AsmWriteCr3 ((UINTN)mUserTables);
  Vector = ZppUserEnter (Cpu->Faults, Function, Area->UserStack + STACK_SIZE - 64);
  AsmWriteCr3 (Cr3);
  AsmWriteGdtr (&Firmware);
  return Cpu->Faults->Rip == (UINTN)ZppUserReturned ? VECTOR_NONE : Vector;
}
