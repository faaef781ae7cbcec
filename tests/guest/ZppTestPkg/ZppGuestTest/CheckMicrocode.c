/** @file
  Microcode updates: the core passes a correct one to the CPU, and ignores others. The log says
  which; an emulator has no microcode to change.
**/
#include "Checks.h"
#include "Hypercall.h"
#include "Primitives.h"

#include <Library/PrintLib.h>

#define MSR_UPDATE_TRIGGER  0x79
#define MSR_REVISION        0x8b
#define MSR_PATCH_LOADER    0xc0010020
#define LOG_BYTES_MAX       (64 * 1024)
#define WORDS               2048

/// Intel's update, after SDM Vol. 3A, table 12-9.
typedef struct {
  UINT32    HeaderVersion;
  UINT32    Revision;
  UINT32    Date;
  UINT32    Signature;
  UINT32    Checksum;
  UINT32    LoaderRevision;
  UINT32    Flags;
  UINT32    DataSize;
  UINT32    TotalSize;
  UINT32    Reserved[3];
  UINT32    Data[WORDS - 12];
} UPDATE;

/// AMD's patch.
typedef struct {
  UINT32    Date;
  UINT32    PatchId;
  UINT32    Unchecked[4];
  UINT16    ProcessorRevision;
  UINT16    Unchecked2;
  UINT32    Unchecked3[WORDS - 7];
} PATCH;

STATIC_ASSERT (sizeof (UPDATE) == 4 * WORDS, "two pages");
STATIC_ASSERT (sizeof (PATCH) == 4 * WORDS, "two pages");

typedef union {
  UPDATE    Update;
  PATCH     Patch;
  UINT32    Words[WORDS];
} MICROCODE;

/// All CPUs fill them in alike.
STATIC __attribute__ ((aligned (16))) MICROCODE  mCorrect;
STATIC __attribute__ ((aligned (16))) MICROCODE  mSpoiled;

/**
  Fills in an update for this CPU. Other CPUs may be using it, so it is never anything else.

  @param[in]  Amd        Whether it is an AMD CPU.
  @param[in]  Correct    Whether the core must pass it on.
  @param[out] Microcode  The update.
**/
STATIC
VOID
Fill (
  IN  BOOLEAN    Amd,
  IN  BOOLEAN    Correct,
  OUT MICROCODE  *Microcode
  )
{
  UINT32  Signature;
  UINT32  Sum;
  UINTN   Index;

  Signature = (UINT32)ZppCpuid (1, 0).Rax;
  if (Amd) {
    Microcode->Patch.Date              = 0x11292026;
    Microcode->Patch.PatchId           = Correct ? 0x42 : 0;
    Microcode->Patch.ProcessorRevision = (UINT16)(((Signature >> 20) & 0xf) << 12);
    return;
  }

  Sum = 0;
  for (Index = 12; Index < WORDS; Index++) {
    Microcode->Words[Index] = (UINT32)Index * 0x01234567;
    Sum                    += Microcode->Words[Index];
  }

  Microcode->Update.HeaderVersion  = 1;
  Microcode->Update.LoaderRevision = 1;
  Microcode->Update.Signature      = Signature;
  Microcode->Update.DataSize       = sizeof (UPDATE) - 48;
  Microcode->Update.TotalSize      = sizeof (UPDATE);
  Microcode->Update.Checksum       = (Correct ? 0 : 1) - (Sum + 2 + Signature + 2 * sizeof (UPDATE) - 48);
}

/**
  Counts a line of this CPU in the core's log.

  @param[in,out] Cpu   The CPU.
  @param[in]     Text  The end of the line.

  @return How often it is there.
**/
STATIC
UINTN
CountInLog (
  IN OUT ZPP_TEST_CPU  *Cpu,
  IN     CONST CHAR8   *Text
  )
{
  CHAR8          Line[2 * ZPP_TEXT_MAX];
  CHAR8          Bytes[32];
  ZPP_REGISTERS  Result;
  UINT64         Position;
  UINTN          Matched;
  UINTN          Index;
  UINTN          Count;

  AsciiSPrint (Line, sizeof (Line), "CPU %d: %a", Cpu->Cpu, Text);
  Matched = 0;
  Count   = 0;
  Result  = ZppCall (Cpu->Test, ZPP_HYPERCALL_READ_LOG, 0, 0);
  for (Position = Result.Rax == ZPP_HYPERCALL_GONE ? Result.Rbx : 0; Position < LOG_BYTES_MAX; Position += sizeof (Bytes)) {
    Result = ZppCall (Cpu->Test, ZPP_HYPERCALL_READ_LOG, Position, 0);
    ((UINT64 *)Bytes)[0] = Result.Rbx;
    ((UINT64 *)Bytes)[1] = Result.Rcx;
    ((UINT64 *)Bytes)[2] = Result.Rdx;
    ((UINT64 *)Bytes)[3] = Result.Rsi;
    for (Index = 0; Index < sizeof (Bytes); Index++) {
      Matched = Bytes[Index] == Line[Matched] ? Matched + 1 : Bytes[Index] == Line[0] ? 1 : 0;
      if (Line[Matched] == '\0') {
        Count++;
        Matched = 0;
      }
    }

    if (Bytes[sizeof (Bytes) - 1] == '\0') {
      break;
    }
  }

  return Count;
}

/**
  Writes an update to the MSR and checks the fault and the line in the log.

  @param[in,out] Cpu        The CPU.
  @param[in]     Microcode  The update.
  @param[in]     Vector     The fault to expect.
  @param[in]     Text       The line to expect.
**/
STATIC
VOID
Load (
  IN OUT ZPP_TEST_CPU     *Cpu,
  IN     CONST MICROCODE  *Microcode,
  IN     UINT64           Vector,
  IN     CONST CHAR8      *Text
  )
{
  BOOLEAN  Amd;
  UINTN    Before;
  UINT64   Address;
  UINT64   Got;

  Amd     = Cpu->Test->Options.Expect == ExpectAmdv;
  Before  = CountInLog (Cpu, Text);
  Address = (UINTN)Microcode + (Amd ? 0 : 48);
  Got     = ZppWriteMsr (Cpu, Amd ? MSR_PATCH_LOADER : MSR_UPDATE_TRIGGER, Address);
  ZppExpect (Cpu, Text, Vector, Got);
  ZppExpect (Cpu, Text, Before + 1, CountInLog (Cpu, Text));
}

STATIC
VOID
Correct (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  Fill (Cpu->Test->Options.Expect == ExpectAmdv, TRUE, &mCorrect);
  // Bochs does not have the MSR: the #GP shows that the write has reached the CPU.
  if (Cpu->Test->Options.StrictMsrs) {
    Load (Cpu, &mCorrect, VECTOR_GP, "the CPU refused a microcode update");
  } else {
    Load (Cpu, &mCorrect, VECTOR_NONE, "microcode update passed to the CPU");
  }
}

STATIC
VOID
Spoiled (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  Fill (Cpu->Test->Options.Expect == ExpectAmdv, FALSE, &mSpoiled);
  if (Cpu->Test->Options.Expect == ExpectAmdv) {
    Load (Cpu, &mSpoiled, VECTOR_NONE, "microcode update ignored: its header is not valid");
  } else {
    Load (Cpu, &mSpoiled, VECTOR_NONE, "microcode update ignored: its checksum is wrong");
  }
}

STATIC
VOID
Revision (
  IN OUT ZPP_TEST_CPU  *Cpu
  )
{
  UINT64  Before;
  UINT64  After;
  UINT64  Vector;

  // As system software reads it. Not every emulator implements it.
  ZppWriteMsr (Cpu, MSR_REVISION, 0);
  ZppCpuid (1, 0);
  Vector = ZppReadMsr (Cpu, MSR_REVISION, &Before);
  Spoiled (Cpu);
  ZppWriteMsr (Cpu, MSR_REVISION, 0);
  ZppCpuid (1, 0);
  ZppExpect (Cpu, "fault on the revision", Vector, ZppReadMsr (Cpu, MSR_REVISION, &After));
  ZppExpect (Cpu, "the revision", 0, Vector == VECTOR_NONE ? Before ^ After : 0);
}

CONST ZPP_CHECK  gZppMicrocodeChecks[] = {
  { "a microcode update reaches the CPU",   CheckZpp, Correct  },
  { "a spoiled microcode update is ignored", CheckZpp, Spoiled  },
  { "the microcode revision stays",         CheckZpp, Revision },
  { NULL }
};
