/** @file
  The text of machine.json.
**/
#include "MachineJson.h"

#include <zpp/hypercall.h>

typedef struct {
  char      *Text;
  size_t    Size;
  size_t    Length;
} OUTPUT;

static void
PutChar (
  OUTPUT  *Output,
  char    Char
  )
{
  if (Output->Length < Output->Size) {
    Output->Text[Output->Length] = Char;
  }

  Output->Length++;
}

static void
Put (
  OUTPUT      *Output,
  const char  *Text
  )
{
  while (*Text != '\0') {
    PutChar (Output, *Text++);
  }
}

static void
PutHex (
  OUTPUT    *Output,
  uint64_t  Value,
  unsigned  Digits
  )
{
  while (Digits-- != 0) {
    PutChar (Output, "0123456789abcdef"[(Value >> (4 * Digits)) & 15]);
  }
}

static void
PutDecimal (
  OUTPUT    *Output,
  uint32_t  Value
  )
{
  if (Value >= 10) {
    PutDecimal (Output, Value / 10);
  }

  PutChar (Output, (char)('0' + Value % 10));
}

/**
  A string in quotation marks. What is not printable ASCII becomes a question mark.
**/
static void
PutString (
  OUTPUT      *Output,
  const char  *Text
  )
{
  PutChar (Output, '"');
  for ( ; *Text != '\0'; Text++) {
    if ((*Text == '"') || (*Text == '\\')) {
      PutChar (Output, '\\');
    }

    PutChar (Output, (*Text >= ' ') && (*Text <= '~') ? *Text : '?');
  }

  PutChar (Output, '"');
}

static void
PutFirmware (
  OUTPUT             *Output,
  const ZPP_MACHINE  *Machine
  )
{
  static const char *const  SecureBoot[] = { "null", "false", "true" };

  Put (Output, "  \"firmware\": {\"type\": \"uefi\", \"vendor\": ");
  PutString (Output, Machine->Vendor);
  Put (Output, ", \"revision\": \"");
  PutHex (Output, Machine->Revision, 8);
  Put (Output, "\", \"uefi\": \"");
  PutDecimal (Output, Machine->UefiRevision >> 16);
  PutChar (Output, '.');
  // The lower half is 10 times the minor version.
  PutDecimal (Output, (Machine->UefiRevision & 0xffff) / 10);
  if ((Machine->UefiRevision & 0xffff) % 10 != 0) {
    PutChar (Output, '.');
    PutDecimal (Output, (Machine->UefiRevision & 0xffff) % 10);
  }

  Put (Output, "\", \"secure_boot\": ");
  Put (Output, SecureBoot[Machine->SecureBoot]);
  Put (Output, "},\n");
}

static void
PutMemory (
  OUTPUT             *Output,
  const ZPP_MACHINE  *Machine
  )
{
  static const char *const  Types[] = {
    "ram", "reserved", "acpi", "acpi-nvs", "runtime", "mmio", "unusable", "persistent"
  };
  size_t                    Index;

  Put (Output, "  \"memory\": [");
  for (Index = 0; Index < Machine->RangeCount; Index++) {
    Put (Output, Index == 0 ? "\n    [\"" : ",\n    [\"");
    PutHex (Output, Machine->Ranges[Index].Start, 16);
    Put (Output, "\", \"");
    PutHex (Output, Machine->Ranges[Index].End, 16);
    Put (Output, "\", \"");
    Put (Output, Types[Machine->Ranges[Index].Type]);
    Put (Output, "\"]");
  }

  Put (Output, "\n  ],\n");
}

/**
  Begins a member of an object that has one in each line.
**/
static void
BeginLine (
  OUTPUT  *Output,
  bool    *First
  )
{
  Put (Output, *First ? "\n        \"" : ",\n        \"");
  *First = false;
}

static void
PutLeafKey (
  OUTPUT                          *Output,
  const struct zpp_captured_leaf  *Leaf
  )
{
  PutHex (Output, Leaf->leaf, 8);
  PutChar (Output, '.');
  PutHex (Output, Leaf->subleaf, Leaf->subleaf > 0xff ? 8 : 2);
}

static bool
IsSameLeaf (
  const struct zpp_captured_leaf  *A,
  const struct zpp_captured_leaf  *B
  )
{
  return (A->eax == B->eax) && (A->ebx == B->ebx) && (A->ecx == B->ecx) && (A->edx == B->edx);
}

static void
PutLeaves (
  OUTPUT                    *Output,
  const struct zpp_capture  *Cpu,
  const struct zpp_capture  *First
  )
{
  const struct zpp_captured_leaf  *Leaf;
  const struct zpp_captured_leaf  *Other;
  uint32_t                        Index;
  bool                            IsFirst;

  IsFirst = true;
  Put (Output, "      \"cpuid\": {");
  for (Index = 0; Index < Cpu->leaf_count; Index++) {
    Leaf  = &Cpu->leaves[Index];
    Other = First != NULL ? zpp_find_leaf (First, Leaf->leaf, Leaf->subleaf) : NULL;
    if ((Other != NULL) && IsSameLeaf (Leaf, Other)) {
      continue;
    }

    BeginLine (Output, &IsFirst);
    PutLeafKey (Output, Leaf);
    Put (Output, "\": \"");
    PutHex (Output, Leaf->eax, 8);
    PutChar (Output, ' ');
    PutHex (Output, Leaf->ebx, 8);
    PutChar (Output, ' ');
    PutHex (Output, Leaf->ecx, 8);
    PutChar (Output, ' ');
    PutHex (Output, Leaf->edx, 8);
    PutChar (Output, '"');
  }

  for (Index = 0; (First != NULL) && (Index < First->leaf_count); Index++) {
    Leaf = &First->leaves[Index];
    if (zpp_find_leaf (Cpu, Leaf->leaf, Leaf->subleaf) == NULL) {
      BeginLine (Output, &IsFirst);
      PutLeafKey (Output, Leaf);
      Put (Output, "\": null");
    }
  }

  Put (Output, IsFirst ? "},\n" : "\n      },\n");
}

static void
PutMsrs (
  OUTPUT                    *Output,
  const struct zpp_capture  *Cpu,
  const struct zpp_capture  *First
  )
{
  const struct zpp_captured_msr  *Msr;
  const struct zpp_captured_msr  *Other;
  uint32_t                       Index;
  bool                           IsFirst;

  IsFirst = true;
  Put (Output, "      \"msrs\": {");
  for (Index = 0; Index < Cpu->msr_count; Index++) {
    Msr   = &Cpu->msrs[Index];
    Other = First != NULL ? zpp_find_msr (First, Msr->index) : NULL;
    if ((Other != NULL) && (Msr->value == Other->value)) {
      continue;
    }

    BeginLine (Output, &IsFirst);
    PutHex (Output, Msr->index, 8);
    Put (Output, "\": \"");
    PutHex (Output, Msr->value, 16);
    PutChar (Output, '"');
  }

  for (Index = 0; (First != NULL) && (Index < First->msr_count); Index++) {
    if (zpp_find_msr (Cpu, First->msrs[Index].index) == NULL) {
      BeginLine (Output, &IsFirst);
      PutHex (Output, First->msrs[Index].index, 8);
      Put (Output, "\": null");
    }
  }

  Put (Output, IsFirst ? "}\n" : "\n      }\n");
}

static void
PutCpu (
  OUTPUT                    *Output,
  const struct zpp_capture  *Cpu,
  const struct zpp_capture  *First
  )
{
  Put (Output, "    {\n      \"cr0\": \"");
  PutHex (Output, Cpu->cr0, 16);
  Put (Output, "\", \"cr4\": \"");
  PutHex (Output, Cpu->cr4, 16);
  Put (Output, "\", \"microcode\": \"");
  PutHex (Output, Cpu->microcode, 8);
  Put (Output, "\",\n");
  PutLeaves (Output, Cpu, First);
  PutMsrs (Output, Cpu, First);
  Put (Output, "    }");
}

static void
PutVerdict (
  OUTPUT                      *Output,
  const struct zpp_diagnosis  *Diagnosis
  )
{
  Put (Output, "  \"verdict\": {\"runs\": ");
  if (!Diagnosis->known) {
    Put (Output, "null}\n");
    return;
  }

  if (Diagnosis->status == ZPP_OK) {
    Put (Output, "true}\n");
    return;
  }

  Put (Output, "false, \"cpu\": ");
  PutDecimal (Output, Diagnosis->cpu);
  Put (Output, ", \"reason\": ");
  PutString (Output, zpp_status_text (Diagnosis->status));
  Put (Output, ", \"detail\": ");
  PutString (Output, Diagnosis->detail);
  Put (Output, ", \"fix\": ");
  PutString (Output, Diagnosis->fix);
  Put (Output, "}\n");
}

size_t
ZppMachineToJson (
  const ZPP_MACHINE           *Machine,
  const struct zpp_diagnosis  *Diagnosis,
  char                        *Text,
  size_t                      Size
  )
{
  OUTPUT    Output;
  uint32_t  Cpu;

  Output = (OUTPUT) { Text, Size, 0 };
  Put (&Output, "{\n  \"format\": \"zpp-machine\",\n  \"version\": 1,\n  \"created_by\": \"ZppBoot ");
  PutDecimal (&Output, ZPP_VERSION_MAJOR);
  PutChar (&Output, '.');
  PutDecimal (&Output, ZPP_VERSION_MINOR);
  PutChar (&Output, '.');
  PutDecimal (&Output, ZPP_VERSION_PATCH);
  Put (&Output, "\",\n");
  PutFirmware (&Output, Machine);
  PutMemory (&Output, Machine);
  Put (&Output, "  \"cpus\": [\n");
  for (Cpu = 0; Cpu < Machine->CpuCount; Cpu++) {
    PutCpu (&Output, Machine->Cpus[Cpu], Cpu == 0 ? NULL : Machine->Cpus[0]);
    Put (&Output, Cpu + 1 == Machine->CpuCount ? "\n" : ",\n");
  }

  Put (&Output, "  ],\n");
  PutVerdict (&Output, Diagnosis);
  Put (&Output, "}\n");
  return Output.Length;
}
