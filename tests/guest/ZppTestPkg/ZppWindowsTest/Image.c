/** @file
  Loads a Windows driver into memory.
**/
#include "Image.h"
#include "Mapping.h"

#include <IndustryStandard/PeImage.h>
#include <Library/BaseMemoryLib.h>
#include <Library/PeCoffLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>

#define BREAKPOINT  0xcc

/// IMAGE_IMPORT_DESCRIPTOR of the PE format.
typedef struct {
  UINT32    Names;
  UINT32    Time;
  UINT32    Forwarder;
  UINT32    Library;
  UINT32    Addresses;
} IMPORT_DESCRIPTOR;

/**
  Fills the driver's import address table.

  @param[in] Base  The driver's memory.

  @retval EFI_SUCCESS      Every function was found.
  @retval EFI_UNSUPPORTED  The kernel lacks one of them.
**/
STATIC
EFI_STATUS
ResolveImports (
  IN UINT8  *Base
  )
{
  EFI_IMAGE_DOS_HEADER      *Dos;
  EFI_IMAGE_NT_HEADERS64    *Header;
  CONST IMPORT_DESCRIPTOR   *Descriptor;
  CONST UINT64              *Name;
  VOID                      **Address;

  Dos        = (EFI_IMAGE_DOS_HEADER *)Base;
  Header     = (EFI_IMAGE_NT_HEADERS64 *)(Base + Dos->e_lfanew);
  Descriptor = (IMPORT_DESCRIPTOR *)(Base + Header->OptionalHeader.DataDirectory[EFI_IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress);
  Name       = (UINT64 *)(Base + Descriptor->Names);
  Address    = (VOID **)(Base + Descriptor->Addresses);
  for ( ; *Name != 0; Name++, Address++) {
    // The name follows a hint of two bytes.
    *Address = ZppKernelFunction ((CHAR8 *)(Base + *Name + 2));
    if (*Address == NULL) {
      Print (L"FAIL: the driver imports the unknown function %a\n", Base + *Name + 2);
      return EFI_UNSUPPORTED;
    }
  }

  return EFI_SUCCESS;
}

/**
  Maps the driver's sections at the driver's address.

  @param[in] Image  The driver.
**/
STATIC
VOID
MapSections (
  IN CONST ZPP_DRIVER_IMAGE  *Image
  )
{
  EFI_IMAGE_DOS_HEADER            *Dos;
  EFI_IMAGE_NT_HEADERS64          *Header;
  CONST EFI_IMAGE_SECTION_HEADER  *Section;
  UINTN                           Index;
  ZPP_ACCESS                      Access;

  Dos     = (EFI_IMAGE_DOS_HEADER *)(UINTN)Image->Base;
  Header  = (EFI_IMAGE_NT_HEADERS64 *)((UINTN)Dos + Dos->e_lfanew);
  Section = (EFI_IMAGE_SECTION_HEADER *)((UINT8 *)&Header->OptionalHeader + Header->FileHeader.SizeOfOptionalHeader);
  for (Index = 0; Index < Header->FileHeader.NumberOfSections; Index++, Section++) {
    Access = ZppReadOnly;
    if ((Section->Characteristics & EFI_IMAGE_SCN_MEM_EXECUTE) != 0) {
      Access = ZppExecute;
    } else if ((Section->Characteristics & EFI_IMAGE_SCN_MEM_WRITE) != 0) {
      Access = ZppReadWrite;
    }

    ZppMapPages (
      ZPP_DRIVER_ADDRESS + Section->VirtualAddress,
      Image->Base + Section->VirtualAddress,
      EFI_SIZE_TO_PAGES (Section->Misc.VirtualSize),
      Access
      );
  }
}

EFI_STATUS
ZppLoadDriver (
  IN  VOID              *File,
  OUT ZPP_DRIVER_IMAGE  *Image
  )
{
  PE_COFF_LOADER_IMAGE_CONTEXT  Context;
  EFI_STATUS                    Status;

  ZeroMem (&Context, sizeof (Context));
  Context.Handle    = File;
  Context.ImageRead = PeCoffLoaderImageReadFromMemory;
  Status            = PeCoffLoaderGetImageInfo (&Context);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Image->Pages = EFI_SIZE_TO_PAGES ((UINTN)Context.ImageSize);
  Status       = gBS->AllocatePages (AllocateAnyPages, EfiLoaderCode, Image->Pages, &Image->Base);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Context.ImageAddress       = Image->Base;
  Context.DestinationAddress = ZPP_DRIVER_ADDRESS;
  Status                     = PeCoffLoaderLoadImage (&Context);
  if (!EFI_ERROR (Status)) {
    Status = PeCoffLoaderRelocateImage (&Context);
  }

  if (!EFI_ERROR (Status)) {
    Status = ResolveImports ((UINT8 *)(UINTN)Image->Base);
  }

  MapSections (Image);
  Image->Entry = (ZPP_DRIVER_ENTRY)(UINTN)Context.EntryPoint;
  return Status;
}

VOID
ZppUnloadDriver (
  IN CONST ZPP_DRIVER_IMAGE  *Image
  )
{
  ZppUnmapPages (ZPP_DRIVER_ADDRESS, Image->Pages);
  SetMem ((VOID *)(UINTN)Image->Base, EFI_PAGES_TO_SIZE (Image->Pages), BREAKPOINT);
  gBS->FreePages (Image->Base, Image->Pages);
}
