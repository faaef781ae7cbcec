/** @file
  Hypercalls.
**/
#include "Checks.h"
#include "Hypercall.h"
#include "Primitives.h"

#include <Library/BaseMemoryLib.h>

#define EXIT_REASON_CPUID_VTX   10
#define EXIT_CODE_CPUID_AMDV    0x72
#define LOG_BYTES_MAX           (64 * 1024)

STATIC
VOID
Version (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_REGISTERS  Result;

  Result = ZppCall (Cpu->Test, ZPP_HYPERCALL_VERSION, 0, 0);
  ZppExpect (Cpu, "status", ZPP_HYPERCALL_OK, Result.Rax);
  ZppExpect (Cpu, "interface", ZPP_HYPERCALL_INTERFACE, Result.Rbx);
  ZppExpect (Cpu, "version", ZPP_VERSION, Result.Rcx);
}

STATIC
VOID
CpuCount (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_REGISTERS  Result;

  Result = ZppCall (Cpu->Test, ZPP_HYPERCALL_CPU_COUNT, 0, 0);
  ZppExpect (Cpu, "status", ZPP_HYPERCALL_OK, Result.Rax);
  ZppExpect (Cpu, "virtualized CPUs", Cpu->Test->CpuCount, Result.Rbx);
}

STATIC
VOID
ExitCount (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64         Reason;
  ZPP_REGISTERS  Before;
  ZPP_REGISTERS  After;
  UINTN          Index;

  Reason = Cpu->Test->Options.Expect == ExpectAmdv ? EXIT_CODE_CPUID_AMDV : EXIT_REASON_CPUID_VTX;
  Before = ZppCall (Cpu->Test, ZPP_HYPERCALL_EXIT_COUNT, Cpu->Cpu, Reason);
  for (Index = 0; Index < 7; Index++) {
    ZppCpuid (0, 0);
  }

  After = ZppCall (Cpu->Test, ZPP_HYPERCALL_EXIT_COUNT, Cpu->Cpu, Reason);
  ZppExpect (Cpu, "status", ZPP_HYPERCALL_OK, After.Rax);
  ZppExpect (Cpu, "exits by 7 CPUIDs", 7, After.Rbx - Before.Rbx);
  ZppExpect (
    Cpu,
    "status for an invalid CPU",
    ZPP_HYPERCALL_BAD_ARGUMENT,
    ZppCall (Cpu->Test, ZPP_HYPERCALL_EXIT_COUNT, Cpu->Test->CpuCount, Reason).Rax
    );
  ZppExpect (
    Cpu,
    "status for CPU 2^32",
    ZPP_HYPERCALL_BAD_ARGUMENT,
    ZppCall (Cpu->Test, ZPP_HYPERCALL_EXIT_COUNT, LShiftU64 (1, 32), Reason).Rax
    );
  ZppExpect (
    Cpu,
    "status for an invalid exit reason",
    ZPP_HYPERCALL_BAD_ARGUMENT,
    ZppCall (Cpu->Test, ZPP_HYPERCALL_EXIT_COUNT, Cpu->Cpu, MAX_UINT64).Rax
    );
}

STATIC
VOID
ReadLog (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_REGISTERS  Result;
  UINT64         Position;
  CHAR8          Text[5];

  Result = ZppCall (Cpu->Test, ZPP_HYPERCALL_READ_LOG, 0, 0);
  if (Result.Rax == ZPP_HYPERCALL_GONE) {
    Position = Result.Rbx;
    Result   = ZppCall (Cpu->Test, ZPP_HYPERCALL_READ_LOG, Position, 0);
    ZppExpect (Cpu, "status at the oldest position", ZPP_HYPERCALL_OK, Result.Rax);
  } else {
    ZppExpect (Cpu, "status", ZPP_HYPERCALL_OK, Result.Rax);
    CopyMem (Text, &Result.Rbx, sizeof (Text));
    ZppExpect (Cpu, "the log begins with zpp:", 0, CompareMem (Text, "zpp: ", sizeof (Text)));
  }

  // Read to the end of the log.
  for (Position = 0; Position < LOG_BYTES_MAX; Position += 32) {
    Result = ZppCall (Cpu->Test, ZPP_HYPERCALL_READ_LOG, Position, 0);
    if ((Result.Rax == ZPP_HYPERCALL_OK) && (Result.Rsi == 0)) {
      break;
    }
  }

  ZppExpect (Cpu, "the log has an end", TRUE, Position < LOG_BYTES_MAX);
  Result = ZppCall (Cpu->Test, ZPP_HYPERCALL_READ_LOG, MAX_UINT64, 0);
  ZppExpect (Cpu, "status far past the end", ZPP_HYPERCALL_OK, Result.Rax);
  ZppExpect (Cpu, "text far past the end", 0, Result.Rbx | Result.Rcx | Result.Rdx | Result.Rsi);
}

STATIC
VOID
UsedMemory (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZPP_REGISTERS  Result;

  Result = ZppCall (Cpu->Test, ZPP_HYPERCALL_MEMORY, 0, 0);
  ZppExpect (Cpu, "status", ZPP_HYPERCALL_OK, Result.Rax);
  ZppExpect (Cpu, "some pages", TRUE, Result.Rbx != 0);
}

STATIC
VOID
Unknown (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  STATIC CONST UINT32  Numbers[] = { 0xff, 0x10000, 0x7fffffff, 0xffffffff };

  UINTN  Index;

  for (Index = 0; Index < ARRAY_SIZE (Numbers); Index++) {
    ZppExpect (Cpu, "status", ZPP_HYPERCALL_UNKNOWN, ZppCall (Cpu->Test, Numbers[Index], 0, 0).Rax);
  }
}

STATIC
VOID
LoaderCallsAreRefused (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  ZppExpect (Cpu, "DEVIRTUALIZE", ZPP_HYPERCALL_REFUSED, ZppCall (Cpu->Test, ZPP_HYPERCALL_DEVIRTUALIZE, 0, 0).Rax);
  ZppExpect (Cpu, "CONFIRM", ZPP_HYPERCALL_REFUSED, ZppCall (Cpu->Test, ZPP_HYPERCALL_CONFIRM, 0, 0).Rax);
  ZppExpect (Cpu, "COMMIT", ZPP_HYPERCALL_REFUSED, ZppCall (Cpu->Test, ZPP_HYPERCALL_COMMIT, 0, 0).Rax);
}

CONST ZPP_CHECK  gZppHypercallChecks[] = {
  { "hypercall version",                   CheckZpp, Version               },
  { "hypercall CPU count",                 CheckZpp, CpuCount              },
  { "hypercall exit count",                CheckZpp, ExitCount             },
  { "hypercall read log",                  CheckZpp, ReadLog               },
  { "hypercall memory",                    CheckZpp, UsedMemory            },
  { "unknown hypercalls",                  CheckZpp, Unknown               },
  { "the loader's hypercalls are refused", CheckZpp, LoaderCallsAreRefused },
  { NULL }
};
