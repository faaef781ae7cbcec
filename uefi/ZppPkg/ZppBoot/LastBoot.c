/** @file
  How the last boot with zpp ended, and its log: from memory that a warm reset does not clear.
**/
#include "LastBoot.h"

#include <Guid/ZppVariables.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

#include <zpp/boot_info.h>

#define RECORD_SIZE  (ZPP_LOG_PAGES * ZPP_PAGE_SIZE)

STATIC ZPP_LAST_BOOT          mLastBoot;
STATIC BOOLEAN                mIsKnown;
STATIC struct zpp_log_record  *mOriginal;

/**
  Checks whether a range is RAM that can be read: not a device, not a hole.

  @param[in] First  The first address.
  @param[in] Size   The number of bytes.

  @retval TRUE   One descriptor of the memory map contains it, as memory.
  @retval FALSE  It is something else.
**/
STATIC
BOOLEAN
IsMemory (
  IN UINT64  First,
  IN UINT64  Size
  )
{
  EFI_MEMORY_DESCRIPTOR  *Map;
  EFI_MEMORY_DESCRIPTOR  *Entry;
  UINTN                  MapSize;
  UINTN                  Key;
  UINTN                  EntrySize;
  UINT32                 Version;
  BOOLEAN                Found;

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

  Found = FALSE;
  if (!EFI_ERROR (gBS->GetMemoryMap (&MapSize, Map, &Key, &EntrySize, &Version))) {
    for (Entry = Map; (UINT8 *)Entry < (UINT8 *)Map + MapSize; Entry = (VOID *)((UINT8 *)Entry + EntrySize)) {
      if ((First >= Entry->PhysicalStart) && (First - Entry->PhysicalStart < EFI_PAGES_TO_SIZE (Entry->NumberOfPages))) {
        Found = (Entry->Type == EfiConventionalMemory) &&
                (Size <= EFI_PAGES_TO_SIZE (Entry->NumberOfPages) - (First - Entry->PhysicalStart));
      }
    }
  }

  FreePool (Map);
  return Found;
}

/**
  Finds the core's record.

  @return The record in its place, checked; NULL if there is none.
**/
STATIC
struct zpp_log_record *
FindRecord (
  VOID
  )
{
  UINT64                 Physical;
  UINTN                  Size;
  EFI_STATUS             Status;
  struct zpp_log_record  *Record;

  Size   = sizeof (Physical);
  Status = gRT->GetVariable (ZPP_LOG_RECORD_VARIABLE, &gZppVariableGuid, NULL, &Size, &Physical);
  if (Status == EFI_NOT_FOUND) {
    return NULL;
  }

  if (EFI_ERROR (Status) || (Size != sizeof (Physical)) || (Physical % ZPP_PAGE_SIZE != 0)) {
    Print (L"zpp: the UEFI variable %s is not valid, so the log of the last boot cannot be found\n", ZPP_LOG_RECORD_VARIABLE);
    return NULL;
  }

  // After a reset the firmware takes the core's memory for free memory.
  if (!IsMemory (Physical, RECORD_SIZE)) {
    return NULL;
  }

  Record = (struct zpp_log_record *)(UINTN)Physical;
  return zpp_log_is_record (Record, Physical) ? Record : NULL;
}

CONST ZPP_LAST_BOOT *
ZppLastBoot (
  VOID
  )
{
  STATIC CONST ZPP_BOOT_END  Ends[] = {
    [ZPP_LOG_RUNNING]      = ZppEndReset,
    [ZPP_LOG_CLEAN]        = ZppEndClean,
    [ZPP_LOG_CRASH]        = ZppEndCrash,
    [ZPP_LOG_TRIPLE_FAULT] = ZppEndTripleFault,
  };
  UINTN                      Index;

  if (mIsKnown) {
    return &mLastBoot;
  }

  mIsKnown         = TRUE;
  mOriginal        = FindRecord ();
  mLastBoot.Record = mOriginal == NULL ? NULL : AllocateCopyPool (sizeof (*mOriginal), mOriginal);
  if (mLastBoot.Record == NULL) {
    return &mLastBoot;
  }

  mLastBoot.End = Ends[mLastBoot.Record->end];
  for (Index = 0; Index < ZPP_LOG_REASON_SIZE - 1; Index++) {
    mLastBoot.Reason[Index] = mLastBoot.Record->reason[Index];
    if (mLastBoot.Reason[Index] == '\0') {
      break;
    }

    if ((mLastBoot.Reason[Index] < ' ') || (mLastBoot.Reason[Index] > '~')) {
      mLastBoot.Reason[Index] = '?';
    }
  }

  return &mLastBoot;
}

VOID
ZppForgetLastBoot (
  VOID
  )
{
  if (mOriginal != NULL) {
    mOriginal->magic = 0;
    mOriginal        = NULL;
  }
}
