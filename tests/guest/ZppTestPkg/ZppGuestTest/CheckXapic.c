/** @file
  Stores to the local APIC's page in every form, which zpp may have to execute.
**/
#include "Checks.h"
#include "Apic.h"

#define APIC_LVT_ERROR  0x370
#define LVT_MASKED      BIT16

/// Executes an instruction with the register's address in RDI, and values in RAX, RCX and RDX.
#define STORE(Name, Text) \
  STATIC VOID Name (IN OUT UINT64 *Rax, IN OUT UINT64 *Rdi) { \
    UINT64  Rcx; \
    Rcx = 1; \
    __asm__ volatile (Text : "+a" (*Rax), "+D" (*Rdi), "+c" (Rcx) : "d" (0x100e9ull) : "xmm0", "memory", "cc"); \
  }

STORE (DoMov, "movl %%eax, (%%rdi)")
STORE (DoMovImmediate, "movl $0x100fe, (%%rdi)")
STORE (DoOr, "orl %%eax, (%%rdi)")
STORE (DoAnd, "andl %%eax, (%%rdi)")
STORE (DoXor, "xorl $1, (%%rdi)")
STORE (DoAdd, "addl %%eax, (%%rdi)")
STORE (DoSub, "subl $2, (%%rdi)")
STORE (DoInc, "incl (%%rdi)")
STORE (DoDec, "decl (%%rdi)")
STORE (DoXchg, "xchgl %%eax, (%%rdi)")
STORE (DoXadd, "xaddl %%eax, (%%rdi)")
STORE (DoCmpxchg, "cmpxchgl %%edx, (%%rdi)")
STORE (DoBts, "btsl $4, (%%rdi)")
STORE (DoBtr, "btrl $3, (%%rdi)")
STORE (DoStos, "cld\n stosl")
STORE (DoRepStos, "cld\n rep stosl")
STORE (DoMovs, "pushq %%rsi\n pushq %%rax\n movq %%rsp, %%rsi\n cld\n movsl\n popq %%rsi\n popq %%rsi")
STORE (DoRepMovs, "pushq %%rsi\n pushq %%rax\n movq %%rsp, %%rsi\n cld\n rep movsl\n popq %%rsi\n popq %%rsi")
STORE (DoPop, "pushq %%rax\n popq (%%rdi)")
STORE (DoPop16, "pushw %%ax\n popw (%%rdi)")
STORE (DoMovnti, "movnti %%eax, (%%rdi)")
STORE (DoMov8, "movb %%al, (%%rdi)")
STORE (DoMov16, "movw %%ax, (%%rdi)")
STORE (DoMov64, "movq %%rax, (%%rdi)")
STORE (DoOr8, "orb %%al, (%%rdi)")
STORE (DoOffset, "movl %%eax, 4(%%rdi)")
STORE (DoMovq, "xorps %%xmm0, %%xmm0\n movq %%xmm0, (%%rdi)")
STORE (DoMovd, "movd %%eax, %%xmm0\n movd %%xmm0, (%%rdi)")
STORE (DoMovss, "movd %%eax, %%xmm0\n movss %%xmm0, (%%rdi)")
STORE (DoFistp, "pushq %%rax\n fildl (%%rsp)\n fistpl (%%rdi)\n popq %%rax")
STORE (DoSetcc, "cmpb %%al, %%al\n setne (%%rdi)")

typedef struct {
  CONST CHAR8    *Name;
  VOID           (*Function)(
    UINT64  *Rax,
    UINT64  *Rdi
    );
  UINT32         Rax;
  UINT32         After; ///< The register, if it was 0x100fe before; 0 if the manuals leave it undefined.
  UINT32         RaxAfter;
  UINT32         Moved;   ///< RDI
  BOOLEAN        Stepped; ///< zpp does not execute it: on AMD-V, the guest does in a step.
} STORE_CHECK;

STATIC CONST STORE_CHECK  mStores[] = {
  { "MOV",               DoMov,          0x100e1, 0x100e1, 0x100e1, 0 },
  { "MOV immediate",     DoMovImmediate, 5,       0x100fe, 5,       0 },
  { "OR",                DoOr,           1,       0x100ff, 1,       0 },
  { "AND",               DoAnd,          0x100f0, 0x100f0, 0x100f0, 0 },
  { "XOR",               DoXor,          5,       0x100ff, 5,       0 },
  { "ADD",               DoAdd,          1,       0x100ff, 1,       0 },
  { "SUB",               DoSub,          5,       0x100fc, 5,       0 },
  { "INC",               DoInc,          5,       0x100ff, 5,       0 },
  { "DEC",               DoDec,          5,       0x100fd, 5,       0 },
  { "XCHG",              DoXchg,         0x100e1, 0x100e1, 0x100fe, 0 },
  { "XADD",              DoXadd,         1,       0x100ff, 0x100fe, 0 },
  { "CMPXCHG, unequal",  DoCmpxchg,      5,       0x100fe, 0x100fe, 0 },
  { "BTS",               DoBts,          5,       0x100fe, 5,       0 },
  { "BTR",               DoBtr,          5,       0x100f6, 5,       0 },
  { "STOS",              DoStos,         0x100e2, 0x100e2, 0x100e2, 4 },
  { "REP STOS",          DoRepStos,      0x100e3, 0x100e3, 0x100e3, 4 },
  { "MOVS",              DoMovs,         0x100ea, 0x100ea, 0x100ea, 4 },
  { "REP MOVS",          DoRepMovs,      0x100eb, 0x100eb, 0x100eb, 4 },
  { "POP",               DoPop,          0x100ec, 0,       0x100ec, 0 },
  { "POP of 16 bits",    DoPop16,        0xed,    0,       0xed,    0 },
  { "MOVNTI",            DoMovnti,       0x100e4, 0x100e4, 0x100e4, 0 },
  { "MOV of 8 bits",     DoMov8,         0xe5,    0,       0xe5,    0 },
  { "MOV of 16 bits",    DoMov16,        0xe6,    0,       0xe6,    0 },
  { "MOV of 64 bits",    DoMov64,        0x100e7, 0,       0x100e7, 0 },
  { "OR of 8 bits",      DoOr8,          1,       0,       1,       0 },
  { "MOV behind it",     DoOffset,       0x100e8, 0,       0x100e8, 0 },
  { "MOVQ",              DoMovq,         5,       0,       5,       0 },
  { "SETcc",             DoSetcc,        5,       0,       5,       0 },
  { "MOVD",              DoMovd,         0x100d1, 0x100d1, 0x100d1, 0, TRUE },
  { "MOVSS",             DoMovss,        0x100d2, 0x100d2, 0x100d2, 0, TRUE },
  { "FISTP",             DoFistp,        0x100d4, 0x100d4, 0x100d4, 0, TRUE },
};

STATIC
VOID
Stores (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  CONST STORE_CHECK  *Store;
  UINT32             Before;
  UINT64             Address;
  UINT64             Rax;
  UINT64             Rdi;
  UINTN              Index;

  if (ZppApicIsX2 ()) {
    ZppSkip (Cpu);
    return;
  }

  Before  = ZppApicRead (APIC_LVT_ERROR);
  Address = ZppApicEoiAddress () - APIC_EOI + APIC_LVT_ERROR;
  for (Index = 0; Index < ARRAY_SIZE (mStores); Index++) {
    Store = &mStores[Index];
    // Bochs stops for good at some of those that the manuals leave undefined, if they reach its APIC.
    if ((Store->After == 0) && (Cpu->Test->Options.Breakpoints == 0) &&
        (Cpu->Test->Options.Expect != ExpectAmdv))
    {
      continue;
    }

    // On VT-x they switch the trap off, which the later checks of INIT and SIPI need.
    if (Store->Stepped && (Cpu->Test->Options.Expect == ExpectVtx)) {
      continue;
    }

    ZppApicWrite (APIC_LVT_ERROR, LVT_MASKED | 0xfe);
    Rax = Store->Rax;
    Rdi = Address;
    Store->Function (&Rax, &Rdi);
    ZppExpect (Cpu, Store->Name, Store->RaxAfter, Rax);
    ZppExpect (Cpu, Store->Name, Address + Store->Moved, Rdi);
    if (Store->After != 0) {
      ZppExpect (Cpu, Store->Name, Store->After, ZppApicRead (APIC_LVT_ERROR));
    }
  }

  ZppApicWrite (APIC_LVT_ERROR, Before);
}

CONST ZPP_CHECK  gZppXapicChecks[] = {
  { "stores to the local APIC in every form", CheckAlways, Stores },
  { NULL }
};
