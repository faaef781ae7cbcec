/** @file
  Instructions that must give #UD because VMX, SVM and SMX are hidden, and cache instructions.
**/
#include "Checks.h"
#include "UserMode.h"
#include "Primitives.h"

/// The memory operand of the VMX instructions, never read.
STATIC UINT64  mOperand[2];

/// Defines a function that executes one instruction.
#define INSTRUCTION(Name, Text) \
  STATIC VOID EFIAPI Name (IN OUT VOID *Argument) { \
    __asm__ volatile (Text : : [m] "m" (mOperand), [r] "r" (0ull), "a" (0), "c" (0), "d" (0) : "memory", "rbx", "cc"); \
  }

INSTRUCTION (DoVmxon, "vmxon %[m]")
INSTRUCTION (DoVmxoff, "vmxoff")
INSTRUCTION (DoVmclear, "vmclear %[m]")
INSTRUCTION (DoVmptrld, "vmptrld %[m]")
INSTRUCTION (DoVmptrst, "vmptrst %[m]")
INSTRUCTION (DoVmread, "vmread %[r], %%rbx")
INSTRUCTION (DoVmwrite, "vmwrite %[r], %%rbx")
INSTRUCTION (DoVmlaunch, "vmlaunch")
INSTRUCTION (DoVmresume, "vmresume")
INSTRUCTION (DoInvept, "invept %[m], %[r]")
INSTRUCTION (DoInvvpid, "invvpid %[m], %[r]")
INSTRUCTION (DoVmfunc, "vmfunc")
INSTRUCTION (DoVmcall, "vmcall")
INSTRUCTION (DoVmmcall, "vmmcall")
INSTRUCTION (DoVmrun, "vmrun %%rax")
INSTRUCTION (DoVmload, "vmload %%rax")
INSTRUCTION (DoVmsave, "vmsave %%rax")
INSTRUCTION (DoStgi, "stgi")
INSTRUCTION (DoClgi, "clgi")
INSTRUCTION (DoInvlpga, "invlpga %%rax, %%ecx")
INSTRUCTION (DoGetsec, "getsec")
INSTRUCTION (DoUd2, "ud2")

typedef struct {
  CONST CHAR8    *Name;
  ZPP_GUARDED    Function;
} INSTRUCTION_CHECK;

STATIC CONST INSTRUCTION_CHECK  mUndefined[] = {
  { "UD2",                       DoUd2      },
  { "VMXON",                     DoVmxon    },
  { "VMXOFF",                    DoVmxoff   },
  { "VMCLEAR",                   DoVmclear  },
  { "VMPTRLD",                   DoVmptrld  },
  { "VMPTRST",                   DoVmptrst  },
  { "VMREAD",                    DoVmread   },
  { "VMWRITE",                   DoVmwrite  },
  { "VMLAUNCH",                  DoVmlaunch },
  { "VMRESUME",                  DoVmresume },
  { "INVEPT",                    DoInvept   },
  { "INVVPID",                   DoInvvpid  },
  { "VMFUNC",                    DoVmfunc   },
  { "VMCALL without the magic",  DoVmcall   },
  { "VMMCALL without the magic", DoVmmcall  },
  { "VMRUN",                     DoVmrun    },
  { "VMLOAD",                    DoVmload   },
  { "VMSAVE",                    DoVmsave   },
  { "STGI",                      DoStgi     },
  { "CLGI",                      DoClgi     },
  { "INVLPGA",                   DoInvlpga  },
  { "GETSEC",                    DoGetsec   },
};

STATIC
VOID
UndefinedInstructions (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINTN  Index;

  for (Index = 0; Index < ARRAY_SIZE (mUndefined); Index++) {
    ZppExpect (
      Cpu,
      mUndefined[Index].Name,
      VECTOR_UD,
      ZppGuardedCall (Cpu->Faults, mUndefined[Index].Function, NULL)
      );
  }
}

STATIC
VOID
UndefinedAtCpl3 (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINTN  Index;

  ZppExpect (Cpu, "CS", 0x38, AsmReadCs ());
  for (Index = 0; Index < ARRAY_SIZE (mUndefined); Index++) {
    ZppExpect (Cpu, mUndefined[Index].Name, VECTOR_UD, ZppUserCall (Cpu, mUndefined[Index].Function));
  }
}

/**
  Loads DS with a selector beyond the GDT.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
DoLoadDs (
  IN OUT VOID  *Argument
  )
{
  __asm__ volatile ("movl $0xfff8, %%eax\n movl %%eax, %%ds" : : : "rax", "memory");
}

/**
  Returns.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
DoNothing (
  IN OUT VOID  *Argument
  )
{
}

/**
  Raises an interrupt whose gate CPL 3 must not use.

  @param[in,out] Argument  Not used.
**/
STATIC
VOID
EFIAPI
DoInterrupt (
  IN OUT VOID  *Argument
  )
{
  __asm__ volatile ("int $0x81");
}

STATIC
VOID
GeneralProtection (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Ds;

  // zpp may see each #GP first, and must hand it on as it was.
  ZppExpect (Cpu, "a function at CPL 3", VECTOR_NONE, ZppUserCall (Cpu, DoNothing));
  ZppExpect (Cpu, "a reserved selector", VECTOR_GP, ZppGuardedCall (Cpu->Faults, DoLoadDs, NULL));
  ZppExpect (Cpu, "its error code", 0xfff8, Cpu->Faults->ErrorCode);
  ZppExpect (Cpu, "INT 81H at CPL 3", VECTOR_GP, ZppUserCall (Cpu, DoInterrupt));
  ZppExpect (Cpu, "its error code", 2, Cpu->Faults->ErrorCode & 7); // QEMU's TCG doubles the index
  __asm__ volatile ("movl %%ds, %0" : "=r" (*(UINT32 *)&Ds));
  ZppExpect (Cpu, "DS", 0x30, Ds & 0xffff);
}

STATIC
VOID
CacheInstructions (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  volatile UINT64  Line[64];
  UINTN            Index;

  for (Index = 0; Index < ARRAY_SIZE (Line); Index++) {
    Line[Index] = 0x5a70705a00000000ull + Index;
  }

  AsmWbinvd ();
  // On a bare machine INVD discards all dirty lines, including the firmware's.
  if (ZppExpectsZpp (Cpu->Test)) {
    Line[0] = 1;
    AsmInvd ();
    ZppExpect (Cpu, "a dirty line after INVD", 1, Line[0]);
    Line[0] = 0x5a70705a00000000ull;
  }

  for (Index = 0; Index < ARRAY_SIZE (Line); Index++) {
    ZppExpect (Cpu, "memory afterwards", 0x5a70705a00000000ull + Index, Line[Index]);
  }
}

CONST ZPP_CHECK  gZppInstructionChecks[] = {
  { "VMX, SVM and SMX instructions give #UD", CheckAlways, UndefinedInstructions },
  { "the same at CPL 3",                      CheckAlways, UndefinedAtCpl3       },
  { "#GP arrives as it was",                  CheckAlways, GeneralProtection     },
  { "WBINVD and INVD preserve memory",        CheckAlways, CacheInstructions     },
  { NULL }
};
