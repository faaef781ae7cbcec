/** @file
  Hypercalls.
**/
#include "Hypercall.h"

/**
  Makes a hypercall by the instruction of the vendor that is expected.

  @param[in]     Test       The test.
  @param[in,out] Registers  Arguments, and results.
**/
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

/**
  Makes a hypercall with two arguments.

  @param[in] Test    The test.
  @param[in] Number  Its number.
  @param[in] Rbx     The first argument.
  @param[in] Rcx     The second.

  @return The results.
**/
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
