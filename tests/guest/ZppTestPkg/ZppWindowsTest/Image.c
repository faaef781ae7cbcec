/** @file
  A Windows driver in memory.
**/
#include "Image.h"

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
  Fills the driver's table of imports.

  @param[in] Base  Where the driver is, relocated.

  @retval EFI_SUCCESS      Every function was found.
  @retval EFI_UNSUPPORTED  The kernel has not one of them.
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
    // behind a hint of two bytes
    *Address = ZppKernelFunction ((CHAR8 *)(Base + *Name + 2));
    if (*Address == NULL) {
      Print (L"FAIL: the driver imports %a\n", Base + *Name + 2);
      return EFI_UNSUPPORTED;
    }
  }

  return EFI_SUCCESS;
}

/**
  Loads a driver's file: its sections, relocations and imports.

  @param[in]  File   The file.
  @param[out] Image  The driver.

  @retval EFI_SUCCESS      It may be entered.
  @retval EFI_UNSUPPORTED  The kernel has not what it imports.
  @retval other            It is no driver, or there is no memory.
**/
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

  Context.ImageAddress = Image->Base;
  Status               = PeCoffLoaderLoadImage (&Context);
  if (!EFI_ERROR (Status)) {
    Status = PeCoffLoaderRelocateImage (&Context);
  }

  if (!EFI_ERROR (Status)) {
    Status = ResolveImports ((UINT8 *)(UINTN)Image->Base);
  }

  Image->Entry = (ZPP_DRIVER_ENTRY)(UINTN)Context.EntryPoint;
  return Status;
}

/**
  Unloads a driver: its memory is filled with breakpoints, and given back.

  @param[in] Image  The driver.
**/
VOID
ZppUnloadDriver (
  IN CONST ZPP_DRIVER_IMAGE  *Image
  )
{
  SetMem ((VOID *)(UINTN)Image->Base, EFI_PAGES_TO_SIZE (Image->Pages), BREAKPOINT);
  gBS->FreePages (Image->Base, Image->Pages);
}
