/** @file
  Hypercalls.
**/
#include "Hypercall.h"

VOID
ZppHypercall (
  IN     CONST ZPP_TEST  *Test,
  IN OUT ZPP_REGISTERS   *Registers
  )
{
  if (Test->Options.Expect == ExpectAmdv) {
    __asm__ volatile ("vmmcall"
                      : "+a" (Registers->Rax), "+b" (Registers->Rbx), "+c" (Registers->Rcx),
                        "+d" (Registers->Rdx), "+S" (Registers->Rsi)
                      :
                      : "memory");
  } else {
    __asm__ volatile ("vmcall"
                      : "+a" (Registers->Rax), "+b" (Registers->Rbx), "+c" (Registers->Rcx),
                        "+d" (Registers->Rdx), "+S" (Registers->Rsi)
                      :
                      : "memory");
  }
}

ZPP_REGISTERS
ZppCall (
  IN CONST ZPP_TEST  *Test,
  IN UINT32          Number,
  IN UINT64          Rbx,
  IN UINT64          Rcx
  )
{
  ZPP_REGISTERS  Registers;

  Registers = (ZPP_REGISTERS) {
    .Rax = ZPP_HYPERCALL (Number), .Rbx = Rbx, .Rcx = Rcx
  };
  ZppHypercall (Test, &Registers);
  return Registers;
}
