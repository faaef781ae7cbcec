/** @file
  The core, hypervisor.elf, which is part of the driver: placed in memory and prepared.
**/
#include "Core.h"
#include "FrameBuffer.h"
#include "Sleep.h"

extern CONST UINT8  gHypervisorElf[]; // Hypervisor.nasm
extern CONST UINT8  gHypervisorElfEnd[];

/**
  Converts a physical address to a virtual one. UEFI maps memory one to one.

  @param[in] Context   Not used.
  @param[in] Physical  The physical address.

  @return The same address.
**/
STATIC
VOID *
PhysicalToVirtual (
  IN VOID      *Context,
  IN uint64_t  Physical
  )
{
  return (VOID *)(UINTN)Physical;
}

/**
  Converts a virtual address to a physical one. UEFI maps memory one to one.

  @param[in] Context  Not used.
  @param[in] Virtual  The virtual address.

  @return The same address.
**/
STATIC
uint64_t
VirtualToPhysical (
  IN VOID        *Context,
  IN CONST VOID  *Virtual
  )
{
  return (UINTN)Virtual;
}

enum zpp_status
ZppPrepareCore (
  IN OUT struct zpp_loader   *Loader,
  OUT    ZPP_MEMORY          *Memory,
  IN     CONST ZPP_CPUS      *Cpus,
  IN     CONST UINT32        *ApicIds,
  IN     CONST ZPP_SETTINGS  *Settings
  )
{
  struct zpp_loader_request  Request;
  UINT64                     Pages;

  Memory->Count = 0;
  Request       = (struct zpp_loader_request) {
    .os                = { .virtual_of = PhysicalToVirtual, .physical_of = VirtualToPhysical },
    .elf               = gHypervisorElf,
    .elf_size          = (UINT64)(gHypervisorElfEnd - gHypervisorElf),
    .cpu_count         = (UINT32)Cpus->Count,
    .apic_ids          = ApicIds,
    .serial_port       = Settings->SerialPort,
    .wait_for_debugger = Settings->WaitForDebugger,
    .visible           = Settings->Visible,
    .reset_after       = Settings->ResetAfter,
    .trace_port        = Settings->TracePort,
  };

  ZppFindFrameBuffer (&Request.frame_buffer);
  ZppFindSleepRegisters (&Request.sleep);
  Pages = zpp_loader_pages (Request.elf, Request.elf_size, Request.cpu_count);
  if (Pages == 0) {
    return ZPP_BAD_ELF;
  }

  if (EFI_ERROR (ZppAllocateMemory ((UINTN)Pages, Memory))) {
    return ZPP_NO_MEMORY;
  }

  Request.ranges      = Memory->Ranges;
  Request.range_count = Memory->Count;
  return zpp_loader_prepare (Loader, &Request);
}
