/** @file
  The functions of the Windows kernel that the driver calls, on UEFI. Contiguous memory is mapped in
  the upper half of the address space, as in Windows; each processor group has two CPUs. Microsoft's
  reference describes the functions.
**/
#include "Kernel.h"
#include "Mapping.h"
#include "Thread.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>

#define STATUS_SUCCESS                ((NTSTATUS)0)
#define STATUS_INVALID_PARAMETER      ((NTSTATUS)0xc000000d)
#define STATUS_OBJECT_NAME_NOT_FOUND  ((NTSTATUS)0xc0000034)
#define GROUP_SIZE                    2
#define ALL_GROUPS                    0xffff
#define RANGES_MAX                    64

typedef struct {
  UINT16    Group;
  UINT8     Number;
  UINT8     Reserved;
} PROCESSOR_NUMBER;

typedef struct {
  UINT64    Mask;
  UINT16    Group;
  UINT16    Reserved[3];
} GROUP_AFFINITY;

typedef struct {
  UINT16    Length;
  UINT16    MaximumLength;
  CHAR16    *Buffer;
} UNICODE_STRING;

typedef struct {
  VOID      *Physical;
  UINT64    Start;
  UINTN     Pages;
} RANGE;

STATIC CONST ZPP_CPUS    *mCpus;
STATIC UINTN             mRefuseAt;
STATIC UINTN             mQueries;
STATIC RANGE             mRanges[RANGES_MAX];
STATIC ZPP_KERNEL_STATE  mState;

STATIC
UINT32
EFIAPI
DbgPrintEx (
  IN UINT32       Component,
  IN UINT32       Level,
  IN CONST CHAR8  *Format,
  IN CONST CHAR8  *Text
  )
{
  // The driver uses only the format "zpp: %s\n".
  Print (L"driver: %a\n", Text);
  return STATUS_SUCCESS;
}

STATIC
VOID *
EFIAPI
ExAllocatePoolWithTag (
  IN UINT32  Type,
  IN UINTN   Size,
  IN UINT32  Tag
  )
{
  mState.PoolBlocks++;
  return AllocatePool (Size);
}

STATIC
VOID
EFIAPI
ExFreePoolWithTag (
  IN VOID    *Block,
  IN UINT32  Tag
  )
{
  mState.PoolBlocks--;
  FreePool (Block);
}

STATIC
VOID *
EFIAPI
MmAllocateContiguousNodeMemory (
  IN UINTN   Size,
  IN UINT64  Lowest,
  IN UINT64  Highest,
  IN UINT64  Boundary,
  IN UINT32  Protection,
  IN UINT32  Node
  )
{
  RANGE  *Range;

  if (mState.Ranges == RANGES_MAX) {
    return NULL;
  }

  Range           = &mRanges[mState.Ranges];
  Range->Pages    = EFI_SIZE_TO_PAGES (Size);
  Range->Physical = AllocateReservedPages (Range->Pages);
  if (Range->Physical == NULL) {
    return NULL;
  }

  // An unmapped page separates two ranges.
  Range->Start = mState.Ranges == 0 ? ZPP_CONTIGUOUS_ADDRESS : Range[-1].Start + EFI_PAGES_TO_SIZE (Range[-1].Pages + 1);
  ZppMapPages (Range->Start, (UINTN)Range->Physical, Range->Pages, ZppReadWrite);
  mState.Ranges++;
  return (VOID *)Range->Start;
}

STATIC
VOID
EFIAPI
MmFreeContiguousMemory (
  IN VOID  *Start
  )
{
  RANGE  *Range;

  // The driver frees the ranges in reverse order.
  Range = &mRanges[mState.Ranges - 1];
  if ((mState.Ranges == 0) || (Range->Start != (UINTN)Start)) {
    return;
  }

  // This would break a hypervisor that still uses the memory.
  SetMem (Start, EFI_PAGES_TO_SIZE (Range->Pages), 0xa5);
  ZppUnmapPages (Range->Start, Range->Pages);
  FreePages (Range->Physical, Range->Pages);
  mState.Ranges--;
}

STATIC
UINT64
EFIAPI
MmGetPhysicalAddress (
  IN VOID  *Address
  )
{
  return ZppVirtualToPhysical ((UINTN)Address);
}

STATIC
UINT32
EFIAPI
KeQueryActiveProcessorCountEx (
  IN UINT16  Group
  )
{
  return Group == ALL_GROUPS ? (UINT32)mCpus->Count : GROUP_SIZE;
}

STATIC
NTSTATUS
EFIAPI
KeGetProcessorNumberFromIndex (
  IN  UINT32            Index,
  OUT PROCESSOR_NUMBER  *Number
  )
{
  if ((++mQueries == mRefuseAt) || (Index >= mCpus->Count)) {
    return STATUS_INVALID_PARAMETER;
  }

  Number->Group    = (UINT16)(Index / GROUP_SIZE);
  Number->Number   = (UINT8)(Index % GROUP_SIZE);
  Number->Reserved = 0;
  return STATUS_SUCCESS;
}

STATIC
UINT32
EFIAPI
KeGetCurrentProcessorNumberEx (
  OUT PROCESSOR_NUMBER  *Number OPTIONAL
  )
{
  return (UINT32)ZppThreadCpu ();
}

STATIC
VOID
EFIAPI
KeSetSystemGroupAffinityThread (
  IN  GROUP_AFFINITY  *Affinity,
  OUT GROUP_AFFINITY  *Before OPTIONAL
  )
{
  ZeroMem (Before, sizeof (*Before));
  ZppMoveThread (Affinity->Group * GROUP_SIZE + (UINTN)HighBitSet64 (Affinity->Mask));
}

STATIC
VOID
EFIAPI
KeRevertToUserGroupAffinityThread (
  IN GROUP_AFFINITY  *Before
  )
{
  ZppMoveThread (mCpus->Bsp);
}

STATIC
VOID
EFIAPI
RtlInitUnicodeString (
  OUT UNICODE_STRING  *String,
  IN  CONST CHAR16    *Text
  )
{
  String->Buffer        = (CHAR16 *)Text;
  String->Length        = (UINT16)(StrLen (Text) * sizeof (CHAR16));
  String->MaximumLength = String->Length + sizeof (CHAR16);
}

STATIC
NTSTATUS
EFIAPI
ZwOpenKey (
  OUT VOID        **Handle,
  IN  UINT32      Access,
  IN  CONST VOID  *Attributes
  )
{
  mState.Handles++;
  *Handle = &mState;
  return STATUS_SUCCESS;
}

STATIC
NTSTATUS
EFIAPI
ZwClose (
  IN VOID  *Handle
  )
{
  mState.Handles--;
  return STATUS_SUCCESS;
}

STATIC
NTSTATUS
EFIAPI
ZwQueryValueKey (
  IN  VOID            *Handle,
  IN  UNICODE_STRING  *Name,
  IN  UINT32          Class,
  OUT VOID            *Information,
  IN  UINT32          Length,
  OUT UINT32          *Needed
  )
{
  return STATUS_OBJECT_NAME_NOT_FOUND;
}

STATIC
NTSTATUS
EFIAPI
ZwSetValueKey (
  IN VOID            *Handle,
  IN UNICODE_STRING  *Name,
  IN UINT32          Index,
  IN UINT32          Type,
  IN CONST CHAR16    *Data,
  IN UINT32          Size
  )
{
  StrCpyS (mState.Result, ARRAY_SIZE (mState.Result), Data);
  return STATUS_SUCCESS;
}

typedef struct {
  CONST CHAR8    *Name;
  VOID           *Function;
} FUNCTION_ROW;

#define ROW(Function)  { #Function, (VOID *)Function }

STATIC CONST FUNCTION_ROW  mFunctions[] = {
  ROW (DbgPrintEx),
  ROW (ExAllocatePoolWithTag),
  ROW (ExFreePoolWithTag),
  ROW (KeGetCurrentProcessorNumberEx),
  ROW (KeGetProcessorNumberFromIndex),
  ROW (KeQueryActiveProcessorCountEx),
  ROW (KeRevertToUserGroupAffinityThread),
  ROW (KeSetSystemGroupAffinityThread),
  ROW (MmAllocateContiguousNodeMemory),
  ROW (MmFreeContiguousMemory),
  ROW (MmGetPhysicalAddress),
  ROW (RtlInitUnicodeString),
  ROW (ZwClose),
  ROW (ZwOpenKey),
  ROW (ZwQueryValueKey),
  ROW (ZwSetValueKey),
};

VOID
ZppResetKernel (
  IN CONST ZPP_CPUS  *Cpus,
  IN UINTN           RefuseAt
  )
{
  mCpus      = Cpus;
  mRefuseAt  = RefuseAt;
  mQueries = 0;
  ZeroMem (&mState, sizeof (mState));
}

VOID *
ZppKernelFunction (
  IN CONST CHAR8  *Name
  )
{
  UINTN  Row;

  for (Row = 0; Row < ARRAY_SIZE (mFunctions); Row++) {
    if (AsciiStrCmp (mFunctions[Row].Name, Name) == 0) {
      return mFunctions[Row].Function;
    }
  }

  return NULL;
}

CONST ZPP_KERNEL_STATE *
ZppKernelState (
  VOID
  )
{
  return &mState;
}
