/** @file
  The command line, which tells the test what to expect: "expect=vtx cpus=4".
**/
#ifndef ZPP_TEST_OPTIONS_H_
#define ZPP_TEST_OPTIONS_H_

#include <Uefi.h>

typedef enum {
  ExpectBare, ///< "expect=bare": without zpp.
  ExpectVtx,  ///< "expect=vtx": zpp with Intel VT-x.
  ExpectAmdv, ///< "expect=amdv": zpp with AMD-V.
} ZPP_EXPECT;

typedef struct {
  ZPP_EXPECT    Expect;
  UINTN         Cpus;         ///< "cpus=4": the number of CPUs, 0 if not given.
  UINTN         Rounds;       ///< "rounds=50": the number of rounds of MP calls.
  UINTN         X2Apic;       ///< "x2apic=1": switch all local APICs to x2APIC mode first.
  UINTN         Breakpoints;  ///< "breakpoints=1": the CPU has breakpoints on instructions.
  UINTN         Visible;      ///< "visible=1": CPUID shows zpp.
  UINTN         MachineCheck; ///< "machine-check=1": only wait for one that hits the host; 2: without CR4.MCE; 3: it hits the guest.
  UINTN         StrictMsrs;   ///< "strict-msrs=1": missing MSRs must give #GP.
} ZPP_OPTIONS;

/**
  Parses the command line.

  @param[in]  LoadOptions      The command line, UTF-16; may be NULL.
  @param[in]  LoadOptionsSize  Its size in bytes.
  @param[out] Options          The options.

  @retval EFI_SUCCESS            Options is valid.
  @retval EFI_INVALID_PARAMETER  A word is invalid, or "expect=" is missing.
**/
EFI_STATUS
ZppReadOptions (
  IN  CONST CHAR16  *LoadOptions OPTIONAL,
  IN  UINTN         LoadOptionsSize,
  OUT ZPP_OPTIONS   *Options
  );

#endif
