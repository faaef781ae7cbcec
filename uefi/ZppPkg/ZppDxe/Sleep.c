/** @file
  ACPI's registers by which the system puts the machine to sleep.
**/
#include "Sleep.h"

#include <IndustryStandard/Acpi.h>
#include <Library/BaseMemoryLib.h>
#include <Library/UefiLib.h>

//
// An address register and its 16 bits are the last that the core can use.
//
#define PORT_MAX  0xfffe

typedef EFI_ACPI_5_0_FIXED_ACPI_DESCRIPTION_TABLE FADT;

/**
  Checks whether the table is long enough to contain the 64-bit addresses, which came with ACPI 2.0.

  @param[in] Fadt  The table.

  @retval TRUE   It contains them.
  @retval FALSE  It ends before them.
**/
STATIC
BOOLEAN
HasWideAddresses (
  IN CONST FADT  *Fadt
  )
{
  return Fadt->Header.Length >= OFFSET_OF (FADT, XPm1bCntBlk);
}

/**
  Finds the port of PM1a_CNT.

  @param[in] Fadt  The table.

  @return The port; 0 if it is not an I/O port.
**/
STATIC
UINT64
Pm1aControl (
  IN CONST FADT  *Fadt
  )
{
  if (HasWideAddresses (Fadt) && (Fadt->XPm1aCntBlk.Address != 0)) {
    return Fadt->XPm1aCntBlk.AddressSpaceId == EFI_ACPI_5_0_SYSTEM_IO ? Fadt->XPm1aCntBlk.Address : 0;
  }

  return Fadt->Pm1aCntBlk;
}

/**
  Finds the FACS.

  @param[in] Fadt  The table.

  @return Its address, or 0.
**/
STATIC
UINT64
Facs (
  IN CONST FADT  *Fadt
  )
{
  if (HasWideAddresses (Fadt) && (Fadt->XFirmwareCtrl != 0)) {
    return Fadt->XFirmwareCtrl;
  }

  return Fadt->FirmwareCtrl;
}

VOID
ZppFindSleepRegisters (
  OUT struct zpp_sleep_registers  *Sleep
  )
{
  CONST FADT  *Fadt;
  UINT64      Port;

  ZeroMem (Sleep, sizeof (*Sleep));
  Fadt = (CONST FADT *)EfiLocateFirstAcpiTable (EFI_ACPI_5_0_FIXED_ACPI_DESCRIPTION_TABLE_SIGNATURE);
  if ((Fadt == NULL) || (Fadt->Header.Length < OFFSET_OF (FADT, ResetReg)) ||
      ((Fadt->Flags & EFI_ACPI_5_0_HW_REDUCED_ACPI) != 0))
  {
    return;
  }

  Port = Pm1aControl (Fadt);
  if ((Port == 0) || (Port > PORT_MAX) || (Facs (Fadt) == 0)) {
    return;
  }

  Sleep->facs         = Facs (Fadt);
  Sleep->pm1a_control = (UINT16)Port;
}
