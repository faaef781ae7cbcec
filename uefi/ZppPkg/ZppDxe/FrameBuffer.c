/** @file
  The frame buffer on which the core paints its crash report.
**/
#include "FrameBuffer.h"

#include <IndustryStandard/Pci.h>
#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Protocol/GraphicsOutput.h>
#include <Protocol/PciIo.h>

//
// A frame buffer begins at most so far behind the start of its device's memory.
//
#define OFFSET_MAX  SIZE_256MB

#define BAR_OFFSET(Bar)  (PCI_BASE_ADDRESSREG_OFFSET + 4 * (Bar))

/**
  Builds the value for port CF8H of a PCI register.

  @param[in] Pci     The device.
  @param[in] Offset  The register's offset.

  @return The value; 0 if the device is not in segment 0, which the port reaches.
**/
STATIC
UINT32
ConfigAddress (
  IN EFI_PCI_IO_PROTOCOL  *Pci,
  IN UINT32               Offset
  )
{
  UINTN  Segment;
  UINTN  Bus;
  UINTN  Device;
  UINTN  Function;

  if (EFI_ERROR (Pci->GetLocation (Pci, &Segment, &Bus, &Device, &Function)) || (Segment != 0)) {
    return 0;
  }

  return 0x80000000u | (UINT32)((Bus << 16) | (Device << 11) | (Function << 8)) | Offset;
}

/**
  Looks for the nearest memory of a graphics adapter that begins at or below an address.

  @param[in]     Pci       The device.
  @param[in]     Address   The address.
  @param[in,out] Distance  How far the best one so far begins below it.
  @param[in,out] Register  The PCI register of the best one so far.
**/
STATIC
VOID
CheckDevice (
  IN     EFI_PCI_IO_PROTOCOL  *Pci,
  IN     UINT64               Address,
  IN OUT UINT64               *Distance,
  IN OUT UINT32               *Register
  )
{
  PCI_TYPE00  Header;
  UINT64      Base;
  UINT32      Bar;
  UINT32      First;

  if (EFI_ERROR (Pci->Pci.Read (Pci, EfiPciIoWidthUint32, 0, sizeof (Header) / sizeof (UINT32), &Header)) ||
      (Header.Hdr.ClassCode[2] != PCI_CLASS_DISPLAY) || (Header.Hdr.HeaderType & 0x7f) != 0)
  {
    return;
  }

  for (Bar = 0; Bar < PCI_MAX_BAR; Bar++) {
    First = Bar;
    Base  = Header.Device.Bar[Bar];
    if ((Base & BIT0) != 0) {
      continue; // I/O ports
    }

    if (((Base & (BIT1 | BIT2)) == BIT2) && (Bar + 1 < PCI_MAX_BAR)) {
      Bar++;
      Base |= LShiftU64 (Header.Device.Bar[Bar], 32);
    }

    Base &= ~(UINT64)0xf;
    if ((Base != 0) && (Base <= Address) && (Address - Base < *Distance)) {
      *Distance = Address - Base;
      *Register = ConfigAddress (Pci, BAR_OFFSET (First));
    }
  }
}

/**
  Finds the PCI register that leads to an address.

  @param[in] Address  The address.

  @return The register, 0 if there is none.
**/
STATIC
UINT32
FindRegister (
  IN UINT64  Address
  )
{
  EFI_HANDLE           *Handles;
  EFI_PCI_IO_PROTOCOL  *Pci;
  UINTN                Count;
  UINTN                Index;
  UINT64               Distance;
  UINT32               Register;

  if (EFI_ERROR (gBS->LocateHandleBuffer (ByProtocol, &gEfiPciIoProtocolGuid, NULL, &Count, &Handles))) {
    return 0;
  }

  Register = 0;
  Distance = OFFSET_MAX;
  for (Index = 0; Index < Count; Index++) {
    if (!EFI_ERROR (gBS->HandleProtocol (Handles[Index], &gEfiPciIoProtocolGuid, (VOID **)&Pci))) {
      CheckDevice (Pci, Address, &Distance, &Register);
    }
  }

  FreePool (Handles);
  return Register;
}

/**
  Describes the frame buffer of a graphics output.

  @param[in]  Graphics  The graphics output.
  @param[out] Buffer    The frame buffer.

  @retval TRUE   The core can use it.
  @retval FALSE  It is not linear, has another format, or its device is not known.
**/
STATIC
BOOLEAN
Describe (
  IN  EFI_GRAPHICS_OUTPUT_PROTOCOL  *Graphics,
  OUT struct zpp_frame_buffer       *Buffer
  )
{
  CONST EFI_GRAPHICS_OUTPUT_MODE_INFORMATION  *Info;

  if ((Graphics->Mode == NULL) || (Graphics->Mode->Info == NULL) || (Graphics->Mode->FrameBufferBase == 0)) {
    return FALSE;
  }

  Info = Graphics->Mode->Info;
  if (Info->PixelFormat == PixelRedGreenBlueReserved8BitPerColor) {
    Buffer->format = ZPP_PIXELS_RGB;
  } else if (Info->PixelFormat == PixelBlueGreenRedReserved8BitPerColor) {
    Buffer->format = ZPP_PIXELS_BGR;
  } else {
    return FALSE;
  }

  Buffer->physical     = Graphics->Mode->FrameBufferBase;
  Buffer->size         = Graphics->Mode->FrameBufferSize;
  Buffer->width        = Info->HorizontalResolution;
  Buffer->height       = Info->VerticalResolution;
  Buffer->stride       = Info->PixelsPerScanLine;
  Buffer->pci_register = FindRegister (Buffer->physical);
  return Buffer->pci_register != 0;
}

VOID
ZppFindFrameBuffer (
  OUT struct zpp_frame_buffer  *Buffer
  )
{
  EFI_GRAPHICS_OUTPUT_PROTOCOL  *Graphics;
  EFI_HANDLE                    *Handles;
  UINTN                         Count;
  UINTN                         Index;
  BOOLEAN                       Found;

  ZeroMem (Buffer, sizeof (*Buffer));
  if (EFI_ERROR (gBS->LocateHandleBuffer (ByProtocol, &gEfiGraphicsOutputProtocolGuid, NULL, &Count, &Handles))) {
    return;
  }

  Found = FALSE;
  for (Index = 0; (Index < Count) && !Found; Index++) {
    Found = !EFI_ERROR (gBS->HandleProtocol (Handles[Index], &gEfiGraphicsOutputProtocolGuid, (VOID **)&Graphics)) &&
            Describe (Graphics, Buffer);
  }

  if (!Found) {
    ZeroMem (Buffer, sizeof (*Buffer));
  }

  FreePool (Handles);
}
