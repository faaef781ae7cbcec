/** @file
  Says whether the hypervisor will run on this machine, and saves what the machine shows.
**/
#include "Diagnose.h"
#include "Firmware.h"
#include "MachineFile.h"
#include "MachineJson.h"
#include "../ZppDxe/Cpus.h"

#include <Library/BaseLib.h>
#include <Library/BaseMemoryLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

/// A capture for each CPU, and pointers to them, the BSP's first.
typedef struct {
  ZPP_CPUS                    Cpus;
  UINTN                       Pages;
  struct zpp_capture          *Captures;
  CONST struct zpp_capture    **InOrder;
  BOOLEAN                     Keep; ///< A CPU may still write to its capture.
} CAPTURES;

/**
  Records the CPU that it runs on.

  @param[in,out] Context  The captures.
  @param[in]     Cpu      The CPU's number.
**/
STATIC
VOID
CaptureCpu (
  IN OUT VOID   *Context,
  IN     UINTN  Cpu
  )
{
  zpp_record (&((CAPTURES *)Context)->Captures[Cpu], NULL);
}

/**
  Records every CPU; only the BSP if the firmware cannot run code on the others.

  @param[out] Captures  The captures.

  @retval EFI_SUCCESS           At least the BSP is recorded.
  @retval EFI_OUT_OF_RESOURCES  There is not enough memory.
**/
STATIC
EFI_STATUS
CaptureCpus (
  OUT CAPTURES  *Captures
  )
{
  EFI_STATUS  Status;
  UINTN       Index;
  UINTN       Cpu;

  Status = ZppFindCpus (&Captures->Cpus);
  if (EFI_ERROR (Status)) {
    Captures->Cpus.Count = 1;
    Captures->Cpus.Bsp   = 0;
  }

  Captures->Keep     = FALSE;
  Captures->Pages    = EFI_SIZE_TO_PAGES (Captures->Cpus.Count * (sizeof (*Captures->Captures) + sizeof (VOID *)));
  Captures->Captures = AllocatePages (Captures->Pages);
  if (Captures->Captures == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  Captures->InOrder = (VOID *)(Captures->Captures + Captures->Cpus.Count);
  if (!EFI_ERROR (Status)) {
    Status         = ZppRunOnEveryCpu (&Captures->Cpus, ZppBspLast, CaptureCpu, Captures);
    Captures->Keep = EFI_ERROR (Status);
  }

  if (EFI_ERROR (Status)) {
    Print (L"zpp: diagnosis: only the first CPU was checked: the firmware did not start the others: %r\n", Status);
    CaptureCpu (Captures, Captures->Cpus.Bsp);
  }

  Captures->InOrder[0] = &Captures->Captures[Captures->Cpus.Bsp];
  for (Cpu = 0, Index = 1; !EFI_ERROR (Status) && (Cpu < Captures->Cpus.Count); Cpu++) {
    if (Cpu != Captures->Cpus.Bsp) {
      Captures->InOrder[Index++] = &Captures->Captures[Cpu];
    }
  }

  if (EFI_ERROR (Status)) {
    Captures->Cpus.Count = 1;
  }

  return EFI_SUCCESS;
}

/**
  Prints the CPUs' name and number, the state of the local APIC, and the firmware.

  @param[in] Machine  The machine.
**/
STATIC
VOID
PrintMachine (
  IN CONST ZPP_MACHINE  *Machine
  )
{
  STATIC CONST CHAR8  *CONST       SecureBoot[] = { "unknown", "off", "on" };
  CONST struct zpp_captured_leaf  *Leaf;
  UINT32                          Name[13];
  UINT64                          ApicBase;
  UINT32                          Part;
  CHAR8                           *Start;

  ZeroMem (Name, sizeof (Name));
  for (Part = 0; Part < 3; Part++) {
    Leaf = zpp_find_leaf (Machine->Cpus[0], 0x80000002 + Part, 0);
    if (Leaf != NULL) {
      CopyMem (&Name[4 * Part], &Leaf->eax, 16);
    }
  }

  for (Start = (CHAR8 *)Name; *Start == ' '; Start++) {
  }

  zpp_captured_value (Machine->Cpus[0], ZPP_MSR, 0x1b, &ApicBase);
  Print (
    L"zpp: diagnosis: %d x %a, microcode 0x%x, %a; firmware %a, Secure Boot %a\n",
    Machine->CpuCount,
    Start,
    Machine->Cpus[0]->microcode,
    (ApicBase & BIT10) != 0 ? "x2APIC" : "xAPIC",
    Machine->Vendor,
    SecureBoot[Machine->SecureBoot]
    );
}

/**
  Prints whether the hypervisor will run; if not, why, and what usually helps.

  @param[in] Diagnosis  The diagnosis.
  @param[in] Cpus       The number of CPUs.
**/
STATIC
VOID
PrintDiagnosis (
  IN CONST struct zpp_diagnosis  *Diagnosis,
  IN UINT32                      Cpus
  )
{
  if (!Diagnosis->known) {
    Print (L"zpp: diagnosis: cannot say whether zpp will run: an MSR is missing\n");
    return;
  }

  if (Diagnosis->status == ZPP_OK) {
    Print (
      L"zpp: diagnosis: zpp will run on this machine: %a on %d %a\n",
      Diagnosis->vendor == ZPP_FOR_VTX ? "Intel VT-x" : "AMD-V",
      Cpus,
      Cpus == 1 ? "CPU" : "CPUs"
      );
    return;
  }

  Print (
    Diagnosis->detail[0] == '\0' ? L"zpp: diagnosis: zpp will not run on this machine: CPU %d: %a%a"
                                 : L"zpp: diagnosis: zpp will not run on this machine: CPU %d: %a (%a)",
    Diagnosis->cpu,
    zpp_status_text (Diagnosis->status),
    Diagnosis->detail
    );
  Print (Diagnosis->fix[0] == '\0' ? L"%a\n" : L"; to fix it, %a\n", Diagnosis->fix);
}

/**
  Writes the description to the volume, and prints the result.

  @param[in] Device     The volume's device.
  @param[in] Machine    The machine.
  @param[in] Diagnosis  The diagnosis.
**/
STATIC
VOID
Save (
  IN EFI_HANDLE                  Device,
  IN CONST ZPP_MACHINE           *Machine,
  IN CONST struct zpp_diagnosis  *Diagnosis
  )
{
  UINTN  Size;
  CHAR8  *Text;

  Size = ZppMachineToJson (Machine, Diagnosis, NULL, 0);
  Text = AllocatePool (Size);
  if (Text == NULL) {
    Print (L"zpp: diagnosis: not enough memory to save it\n");
    return;
  }

  ZppMachineToJson (Machine, Diagnosis, Text, Size);
  ZppSaveMachineFile (Device, Text, Size);
  FreePool (Text);
}

VOID
ZppDiagnose (
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  )
{
  CAPTURES              Captures;
  ZPP_MACHINE           Machine;
  struct zpp_diagnosis  Diagnosis;
  EFI_STATUS            Status;

  Status = CaptureCpus (&Captures);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: diagnosis: %r\n", Status);
    return;
  }

  Status = ZppReadFirmware (&Machine);
  if (EFI_ERROR (Status)) {
    Print (L"zpp: diagnosis: cannot read the memory map: %r\n", Status);
  } else {
    Machine.Cpus     = Captures.InOrder;
    Machine.CpuCount = (UINT32)Captures.Cpus.Count;
    Diagnosis        = zpp_diagnose (Machine.Cpus, Machine.CpuCount);
    PrintMachine (&Machine);
    PrintDiagnosis (&Diagnosis, Machine.CpuCount);
    Save (Device, &Machine, &Diagnosis);
    ZppFreeFirmware (&Machine);
  }

  if (!Captures.Keep) {
    FreePages (Captures.Captures, Captures.Pages);
  }
}
