/** @file
  Lets the next boot find the core's log.
**/
#ifndef ZPP_DXE_LOG_RECORD_H_
#define ZPP_DXE_LOG_RECORD_H_

#include <Uefi.h>

#include <loader/loader.h>

/**
  Stores the address of the core's log record in a UEFI variable, and prints a line if that fails.

  @param[in] Loader  The loader, after prepare.
**/
VOID
ZppStoreLogAddress (
  IN CONST struct zpp_loader  *Loader
  );

#endif
