/** @file
  The ways to end a boot.
**/
#include "Ends.h"

#include <Guid/FileInfo.h>
#include <Guid/ZppVariables.h>
#include <Library/BaseLib.h>
#include <Library/IoLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

#include <loader/cpu.h>
#include <zpp/hypercall.h>

#define FILLING_FILE  L"\\filling"
#define FILLING_PART  SIZE_1MB

#define KEYBOARD_CONTROLLER  0x64
#define PULSE_RESET          0xfe
#define RESET_CONTROL        0xcf9
#define FULL_RESET           0x0e

/**
  Makes a hypercall without arguments.

  @param[in] Number  The call.
**/
STATIC
VOID
Call (
  IN UINT32  Number
  )
{
  struct zpp_hypercall_registers  Registers;

  Registers = (struct zpp_hypercall_registers) { 0 };
  if (zpp_cpu_hypercall (Number, &Registers) != ZPP_HYPERCALL_OK) {
    Print (L"FAIL: hypercall %d\n", Number);
  }
}

/**
  Resets the machine by the chipset.
**/
STATIC
VOID
ResetByChipset (
  VOID
  )
{
  IoWrite8 (RESET_CONTROL, FULL_RESET & ~4);
  IoWrite8 (RESET_CONTROL, FULL_RESET);
}

/**
  Shuts the CPU down: an exception without an IDT.
**/
STATIC
VOID
TripleFault (
  VOID
  )
{
  IA32_DESCRIPTOR  Idt;

  Idt = (IA32_DESCRIPTOR) { 0, 0 };
  AsmWriteIdtr (&Idt);
  CpuBreakpoint ();
}

/**
  Overwrites the variable that leads to the log with one of a wrong size.
**/
STATIC
VOID
SpoilVariable (
  VOID
  )
{
  UINT32  Word;

  Word = 0x4000000;
  gRT->SetVariable (ZPP_LOG_RECORD_VARIABLE, &gZppVariableGuid, ZPP_LOG_RECORD_ATTRIBUTES, sizeof (Word), &Word);
}

/**
  Lets the variable lead to memory with something else.

  @param[in] Physical  The address that it then holds.
**/
STATIC
VOID
MisleadVariable (
  IN UINT64  Physical
  )
{
  gRT->SetVariable (ZPP_LOG_RECORD_VARIABLE, &gZppVariableGuid, ZPP_LOG_RECORD_ATTRIBUTES, sizeof (Physical), &Physical);
}

EFI_FILE_PROTOCOL *
ZppOpenRoot (
  IN EFI_HANDLE  Device
  )
{
  EFI_SIMPLE_FILE_SYSTEM_PROTOCOL  *Volume;
  EFI_FILE_PROTOCOL                *Root;

  if (EFI_ERROR (gBS->HandleProtocol (Device, &gEfiSimpleFileSystemProtocolGuid, (VOID **)&Volume)) ||
      EFI_ERROR (Volume->OpenVolume (Volume, &Root)))
  {
    return NULL;
  }

  return Root;
}

/**
  Fills the volume with a file.

  @param[in] Device  The volume's device.
**/
STATIC
VOID
Fill (
  IN EFI_HANDLE  Device
  )
{
  EFI_FILE_PROTOCOL  *Root;
  EFI_FILE_PROTOCOL  *File;
  VOID               *Part;
  UINTN              Size;
  UINTN              Written;
  EFI_STATUS         Status;

  Root   = ZppOpenRoot (Device);
  Part   = AllocateZeroPool (FILLING_PART);
  Status = Root->Open (
                   Root,
                   &File,
                   FILLING_FILE,
                   EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE,
                   0
                   );
  for (Size = FILLING_PART; !EFI_ERROR (Status) && (Size >= SIZE_4KB); ) {
    Written = Size;
    if (EFI_ERROR (File->Write (File, &Written, Part))) {
      Size /= 2;
    }
  }

  File->Close (File);
  Print (L"ZPP-LOG: full: %r\n", Status);
}

/**
  Replaces the folder of logs with a file, and frees the volume.

  @param[in] Device  The volume's device.
**/
STATIC
VOID
PutFileInTheWay (
  IN EFI_HANDLE  Device
  )
{
  EFI_FILE_PROTOCOL  *Root;
  EFI_FILE_PROTOCOL  *File;
  EFI_FILE_PROTOCOL  *Folder;
  EFI_FILE_INFO      *Info;
  UINTN              Size;

  Root = ZppOpenRoot (Device);
  Info = AllocatePool (INFO_SIZE);
  Root->Open (Root, &File, FILLING_FILE, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, 0);
  File->Delete (File);
  Root->Open (Root, &Folder, LOG_FOLDER, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, 0);
  for ( ; ;) {
    Size = INFO_SIZE;
    if (EFI_ERROR (Folder->Read (Folder, &Size, Info)) || (Size == 0)) {
      break;
    }

    if (((Info->Attribute & EFI_FILE_DIRECTORY) == 0) &&
        !EFI_ERROR (Folder->Open (Folder, &File, Info->FileName, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, 0)))
    {
      File->Delete (File);
      Folder->SetPosition (Folder, 0);
    }
  }

  Print (L"ZPP-LOG: folder deleted: %r\n", Folder->Delete (Folder));
  Root->Open (Root, &File, LOG_FOLDER, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE, 0);
  File->Close (File);
}

VOID
ZppEndBy (
  IN EFI_HANDLE    Device,
  IN CONST CHAR16  *Word
  )
{
  if (StrCmp (Word, L"keyboard") == 0) {
    IoWrite8 (KEYBOARD_CONTROLLER, PULSE_RESET);
  } else if (StrCmp (Word, L"triple") == 0) {
    TripleFault ();
  } else if (StrCmp (Word, L"crash") == 0) {
    Call (ZPP_HYPERCALL_READ_LOG); // crashes in a core that is broken there
  } else if (StrCmp (Word, L"clean") == 0) {
    Call (ZPP_HYPERCALL_END);
    ResetByChipset ();
  } else if (StrCmp (Word, L"short-variable") == 0) {
    SpoilVariable ();
    ResetByChipset ();
  } else if (StrCmp (Word, L"wild-variable") == 0) {
    MisleadVariable (0xfffffffffffff000ull);
    ResetByChipset ();
  } else if (StrCmp (Word, L"other-memory") == 0) {
    MisleadVariable (0x8000000);
    ResetByChipset ();
  } else if (StrCmp (Word, L"full") == 0) {
    Fill (Device);
    ResetByChipset ();
  } else if (StrCmp (Word, L"in-the-way") == 0) {
    PutFileInTheWay (Device);
    ResetByChipset ();
  } else if (StrCmp (Word, L"chipset") == 0) {
    ResetByChipset ();
  }

  Print (L"ZPP-LOG: waiting\n");
  CpuDeadLoop ();
}
