/** @file
  What the firmware reports about itself and the machine's memory.
**/
#include "Firmware.h"

#include <Guid/GlobalVariable.h>
#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

#define VENDOR_MAX  64

/**
  Copies the firmware vendor's name as ASCII.

  @return The name, which the caller frees, or NULL if there is not enough memory.
**/
STATIC
CHAR8 *
CopyVendor (
  VOID
  )
{
  CHAR8  *Vendor;
  UINTN  Index;
  CHAR16 Char;

  Vendor = AllocateZeroPool (VENDOR_MAX);
  for (Index = 0; (Vendor != NULL) && (gST->FirmwareVendor != NULL) && (Index < VENDOR_MAX - 1); Index++) {
    Char = gST->FirmwareVendor[Index];
    if (Char == L'\0') {
      break;
    }

    Vendor[Index] = Char < 0x80 ? (CHAR8)Char : '?';
  }

  return Vendor;
}

/**
  Asks the firmware whether Secure Boot is on.

  @return Its state; unknown if the firmware does not say.
**/
STATIC
ZPP_SECURE_BOOT
ReadSecureBoot (
  VOID
  )
{
  UINT8       Value;
  UINTN       Size;
  EFI_STATUS  Status;

  Size   = sizeof (Value);
  Status = gRT->GetVariable (EFI_SECURE_BOOT_MODE_NAME, &gEfiGlobalVariableGuid, NULL, &Size, &Value);
  if (EFI_ERROR (Status) || (Size != sizeof (Value))) {
    return ZppSecureBootUnknown;
  }

  return Value == 1 ? ZppSecureBootOn : ZppSecureBootOff;
}

/**
  Converts a memory type.

  @param[in] Type  The type in the memory map.

  @return The type in a machine's description.
**/
STATIC
ZPP_RANGE_TYPE
RangeType (
  IN UINT32  Type
  )
{
  switch (Type) {
    case EfiLoaderCode:
    case EfiLoaderData:
    case EfiBootServicesCode:
    case EfiBootServicesData:
    case EfiConventionalMemory:
      return ZppRangeRam;
    case EfiRuntimeServicesCode:
    case EfiRuntimeServicesData:
      return ZppRangeRuntime;
    case EfiACPIReclaimMemory:
      return ZppRangeAcpi;
    case EfiACPIMemoryNVS:
      return ZppRangeAcpiNvs;
    case EfiMemoryMappedIO:
    case EfiMemoryMappedIOPortSpace:
      return ZppRangeMmio;
    case EfiUnusableMemory:
      return ZppRangeUnusable;
    case EfiPersistentMemory:
      return ZppRangePersistent;
    default:
      return ZppRangeReserved;
  }
}

/**
  Gets the memory map.

  @param[out] Map             The map; the caller frees it with FreePool().
  @param[out] Size            Its size in bytes.
  @param[out] DescriptorSize  The size of each descriptor.

  @retval EFI_SUCCESS  The map is valid.
  @retval other        The firmware's error.
**/
STATIC
EFI_STATUS
GetMemoryMap (
  OUT EFI_MEMORY_DESCRIPTOR  **Map,
  OUT UINTN                  *Size,
  OUT UINTN                  *DescriptorSize
  )
{
  EFI_STATUS  Status;
  UINTN       Key;
  UINT32      Version;

  *Map  = NULL;
  *Size = 0;
  do {
    Status = gBS->GetMemoryMap (Size, *Map, &Key, DescriptorSize, &Version);
    if (Status != EFI_BUFFER_TOO_SMALL) {
      break;
    }

    if (*Map != NULL) {
      FreePool (*Map);
    }

    // The allocation can split a range, which takes two more descriptors.
    *Size += 2 * *DescriptorSize;
    *Map   = AllocatePool (*Size);
  } while (*Map != NULL);

  if (EFI_ERROR (Status) && (*Map != NULL)) {
    FreePool (*Map);
  }

  return *Map == NULL ? EFI_OUT_OF_RESOURCES : Status;
}

/**
  Puts a range into its place.

  @param[in,out] Ranges  The ranges, by address.
  @param[in,out] Count   Their number.
  @param[in]     Range   The range.
**/
STATIC
VOID
InsertRange (
  IN OUT ZPP_RANGE        *Ranges,
  IN OUT UINTN            *Count,
  IN     CONST ZPP_RANGE  *Range
  )
{
  UINTN  Place;

  for (Place = *Count; (Place > 0) && (Ranges[Place - 1].Start > Range->Start); Place--) {
    Ranges[Place] = Ranges[Place - 1];
  }

  Ranges[Place] = *Range;
  (*Count)++;
}

/**
  Joins neighbours of the same type.

  @param[in,out] Ranges  The ranges, by address.
  @param[in,out] Count   Their number.
**/
STATIC
VOID
JoinRanges (
  IN OUT ZPP_RANGE  *Ranges,
  IN OUT UINTN      *Count
  )
{
  UINTN  Index;
  UINTN  Joined;

  for (Index = 0, Joined = 0; Index < *Count; Index++) {
    if ((Joined > 0) && (Ranges[Joined - 1].End + 1 == Ranges[Index].Start) &&
        (Ranges[Joined - 1].Type == Ranges[Index].Type))
    {
      Ranges[Joined - 1].End = Ranges[Index].End;
    } else {
      Ranges[Joined++] = Ranges[Index];
    }
  }

  *Count = Joined;
}

/**
  Reads the memory map.

  @param[out] Ranges  The ranges, by address; the caller frees them with FreePool().
  @param[out] Count   Their number.

  @retval EFI_SUCCESS  They are valid.
  @retval other        The error.
**/
STATIC
EFI_STATUS
ReadMemory (
  OUT ZPP_RANGE  **Ranges,
  OUT UINTN      *Count
  )
{
  EFI_MEMORY_DESCRIPTOR  *Map;
  EFI_MEMORY_DESCRIPTOR  *Descriptor;
  UINTN                  Size;
  UINTN                  DescriptorSize;
  UINTN                  Offset;
  ZPP_RANGE              Range;
  EFI_STATUS             Status;

  Status = GetMemoryMap (&Map, &Size, &DescriptorSize);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  *Count  = 0;
  *Ranges = AllocatePool ((Size / DescriptorSize + 1) * sizeof (ZPP_RANGE));
  for (Offset = 0; (*Ranges != NULL) && (Offset < Size); Offset += DescriptorSize) {
    Descriptor = (EFI_MEMORY_DESCRIPTOR *)((UINT8 *)Map + Offset);
    if (Descriptor->NumberOfPages == 0) {
      continue;
    }

    Range.Start = Descriptor->PhysicalStart;
    Range.End   = Range.Start + EFI_PAGES_TO_SIZE (Descriptor->NumberOfPages) - 1;
    Range.Type  = RangeType (Descriptor->Type);
    InsertRange (*Ranges, Count, &Range);
  }

  FreePool (Map);
  if (*Ranges == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  JoinRanges (*Ranges, Count);
  return EFI_SUCCESS;
}

EFI_STATUS
ZppReadFirmware (
  OUT ZPP_MACHINE  *Machine
  )
{
  CHAR8       *Vendor;
  ZPP_RANGE   *Ranges;
  UINTN       Count;
  EFI_STATUS  Status;

  Vendor = CopyVendor ();
  if (Vendor == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  Status = ReadMemory (&Ranges, &Count);
  if (EFI_ERROR (Status)) {
    FreePool (Vendor);
    return Status;
  }

  Machine->Vendor       = Vendor;
  Machine->Revision     = gST->FirmwareRevision;
  Machine->UefiRevision = gST->Hdr.Revision;
  Machine->SecureBoot   = ReadSecureBoot ();
  Machine->Ranges       = Ranges;
  Machine->RangeCount   = Count;
  return EFI_SUCCESS;
}

VOID
ZppFreeFirmware (
  IN ZPP_MACHINE  *Machine
  )
{
  FreePool ((VOID *)Machine->Vendor);
  FreePool ((VOID *)Machine->Ranges);
}
