/** @file
  An AP outside 64-bit mode: faults in real mode, and task switches in 32-bit protected mode.
**/
#include "Apic.h"
#include "Checks.h"
#include "Primitives.h"

#include <Library/BaseMemoryLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>

//
// Modes.nasm: the block of memory, and the parameters at its start.
//
#define BLOCK_PAGES      8
#define BLOCK_BELOW      0x9f000
#define PARAMETERS       8
#define RESULTS          0x4000
#define DIRECTORY_1      0x6000
#define DIRECTORY_2      0x7000
#define PAGE_4M          0x83
#define LAST_PROGRESS    13
#define NOT_MAPPED       0x00500000

#define MSR_VMX_BASIC    0x480
#define MSR_VM_HSAVE_PA  0xc0010117
#define STALL_US         1000
#define STALLS           20000

typedef struct {
  CONST CHAR8    *Name;
  UINT32         Expected;
  BOOLEAN        Exact; ///< Not on QEMU's TCG: no T flag, no RF in a TSS, a fault of a new task has the old EIP.
} ZPP_MODE_RESULT;

extern CONST UINT8  ZppModesStart[];
extern CONST UINT8  ZppModesEnd[];

/// In the order of Modes.nasm.
STATIC ZPP_MODE_RESULT  mResults[] = {
  { "the AP runs to its end",                             LAST_PROGRESS },
  { "SP after a fault with an error code in real mode",   0x3800 - 6    },
  { "IP of that fault",                                   0             },
  { "SP after #UD in real mode",                          0x3800 - 6    },
  { "IP of that #UD",                                     0             },
  { "TR in a task that was called",                       0x20          },
  { "NT in it",                                           0x4000        },
  { "CR0.TS in it",                                       8             },
  { "its back link",                                      0x18          },
  { "the caller's TSS type",                              0xb           },
  { "its own TSS type",                                   0xb           },
  { "EIP that the CALL saves",                            0             },
  { "EBX after the IRET",                                 0x12345678    },
  { "the TSS type after the IRET",                        9             },
  { "NT after the IRET",                                  0             },
  { "the old TSS type after a JMP through a task gate",   9             },
  { "the new TSS type after it",                          0xb           },
  { "NT after it",                                        0             },
  { "EIP of a #UD that is a task",                        0             },
  { "error code of a #GP that is a task",                 0xfff8        },
  { "EIP of it",                                          0             },
  { "EIP of an INT that is a task",                       0             },
  { "TR in a task with a 16-bit TSS",                     0x48          },
  { "EAX in it",                                          0xffff0000, TRUE },
  { "its back link to a 32-bit TSS",                      0x18          },
  { "IP that it saves",                                   0, TRUE       },
  { "error code of an absent segment in a new task",      0x58, TRUE    },
  { "EIP of that fault",                                  0, TRUE       },
  { "TR of that fault",                                   0x50, TRUE    },
  { "CR3 in a task",                                      DIRECTORY_2   },
  { "CR3 after it",                                       DIRECTORY_1   },
  { "error code of a TSS that is not mapped",             0             },
  { "CR2 of it",                                          NOT_MAPPED, TRUE },
  { "TR of it",                                           0x18          },
  { "RF that a #UD saves in the TSS",                     0x10000, TRUE },
  { "DR6.BT after a TSS with the T flag",                 0x8000, TRUE  },
  { "EIP of its #DB",                                     0, TRUE       },
  { "an exception that nobody expects",                   0             },
};

/**
  Prepares the block.

  @param[in]  Test   The test.
  @param[in]  Block  Its address.
  @param[in]  Exact  Whether the machine has what TCG does not have.
**/
STATIC
VOID
PrepareBlock (
  IN CONST ZPP_TEST  *Test,
  IN UINTN           Block,
  IN BOOLEAN         Exact
  )
{
  UINT32  *Parameters;

  ZeroMem ((VOID *)Block, EFI_PAGES_TO_SIZE (BLOCK_PAGES));
  CopyMem ((VOID *)Block, ZppModesStart, (UINTN)ZppModesEnd - (UINTN)ZppModesStart);
  Parameters = (UINT32 *)(Block + PARAMETERS);
  if (ZppExpectsZpp (Test)) {
    Parameters[0] = Test->Options.Expect == ExpectVtx ? MSR_VMX_BASIC : MSR_VM_HSAVE_PA;
  }

  Parameters[1]                      = Exact;
  *(UINT32 *)(Block + DIRECTORY_1) = PAGE_4M;
  *(UINT32 *)(Block + DIRECTORY_2) = PAGE_4M;
}

/**
  Starts a CPU in real mode, and waits until it is done or a second has passed.

  @param[in] Test   The test.
  @param[in] Cpu    The CPU.
  @param[in] Block  The block.

  @retval EFI_SUCCESS  It has been started.
**/
STATIC
EFI_STATUS
RunInRealMode (
  IN CONST ZPP_TEST  *Test,
  IN UINTN           Cpu,
  IN UINTN           Block
  )
{
  EFI_PROCESSOR_INFORMATION  Information;
  EFI_STATUS                 Status;
  volatile UINT32            *Results;
  UINTN                      Wait;

  Status = Test->Mp->GetProcessorInfo (Test->Mp, Cpu, &Information);
  if (EFI_ERROR (Status)) {
    return Status;
  }

  Results = (UINT32 *)(Block + RESULTS);
  ZppApicSendInit ((UINT32)Information.ProcessorId);
  gBS->Stall (10 * STALL_US);
  ZppApicSendSipi ((UINT32)Information.ProcessorId, (UINT8)(Block >> 12));
  for (Wait = 0; (Wait < STALLS) && (Results[0] != LAST_PROGRESS); Wait++) {
    gBS->Stall (STALL_US);
    if (Results[ARRAY_SIZE (mResults) - 1] != 0) {
      break;
    }
  }

  return EFI_SUCCESS;
}

VOID
ZppCheckModes (
  IN OUT ZPP_TEST  *Test
  )
{
  EFI_PHYSICAL_ADDRESS  Block;
  UINTN                 Cpu;
  UINTN                 Index;
  UINT32                Expected;
  UINT32                *Results;
  BOOLEAN               Exact;

  if (Test->CpuCount < 2) {
    return;
  }

  Block = BLOCK_BELOW;
  if (EFI_ERROR (gBS->AllocatePages (AllocateMaxAddress, EfiLoaderData, BLOCK_PAGES, &Block))) {
    ZppReport (Test, "memory below 1 MiB", 1, 0);
    return;
  }

  Cpu   = Test->Bsp == 0 ? 1 : 0;
  Exact = ZppCpuid (0, 0).Rbx == SIGNATURE_32 ('G', 'e', 'n', 'u');
  PrepareBlock (Test, (UINTN)Block, Exact);
  if (EFI_ERROR (RunInRealMode (Test, Cpu, (UINTN)Block))) {
    ZppReport (Test, "an AP starts in real mode", 1, 0);
    return;
  }

  Results = (UINT32 *)(UINTN)(Block + RESULTS);
  for (Index = 0; Index < ARRAY_SIZE (mResults); Index++) {
    Expected = mResults[Index].Expected;
    if ((Expected == DIRECTORY_1) || (Expected == DIRECTORY_2)) {
      Expected += (UINT32)Block;
    }

    // Without zpp no MSR faults here.
    if ((Index == 1) && !ZppExpectsZpp (Test)) {
      Expected = 0;
    }

    if (Exact || !mResults[Index].Exact) {
      ZppReport (Test, mResults[Index].Name, Expected, Results[Index]);
    }
  }
}
