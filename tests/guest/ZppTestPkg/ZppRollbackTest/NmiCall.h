/** @file
  Calls a function in an NMI handler, while another NMI is pending.
**/
#ifndef ZPP_TEST_NMI_CALL_H_
#define ZPP_TEST_NMI_CALL_H_

#include <Uefi.h>

/**
  A function that is called in an NMI handler.

  @param[in,out] Argument  The Argument of ZppCallInNmi().
**/
typedef
VOID
(*ZPP_NMI_FUNCTION)(
  IN OUT VOID  *Argument
  );

/**
  Calls a function in an NMI handler of this CPU, while another NMI is pending. One CPU at a time.

  @param[in]     Function  The function.
  @param[in,out] Argument  Its argument.

  @return The number of NMIs that have arrived: 2 if none is lost.
**/
UINT32
ZppCallInNmi (
  IN     ZPP_NMI_FUNCTION  Function,
  IN OUT VOID              *Argument
  );

#endif
