/** @file
  Saves the log of the last boot.
**/
#include "SaveLog.h"
#include "LastBoot.h"
#include "LogFolder.h"

#include <Library/BaseLib.h>
#include <Library/MemoryAllocationLib.h>
#include <Library/PrintLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>
#include <Library/UefiRuntimeServicesTableLib.h>

#define HEAD_MAX      1024u
#define BRAND_LEAVES  3u

/**
  Puts a phrase that says how the last boot ended into a buffer.

  @param[in]  LastBoot  The last boot.
  @param[out] Text      The phrase.
  @param[in]  Size      The buffer's size.
**/
STATIC
VOID
DescribeEnd (
  IN  CONST ZPP_LAST_BOOT  *LastBoot,
  OUT CHAR8                *Text,
  IN  UINTN                Size
  )
{
  switch (LastBoot->End) {
    case ZppEndCrash:
      AsciiSPrint (Text, Size, "zpp crashed: %a", LastBoot->Reason);
      break;
    case ZppEndTripleFault:
      AsciiSPrint (Text, Size, "%a", LastBoot->Reason);
      break;
    default:
      AsciiSPrint (Text, Size, "a reset");
      break;
  }
}

/**
  Gets the CPU's name.

  @param[out] Name  The name.
**/
STATIC
VOID
CpuName (
  OUT CHAR8  Name[BRAND_LEAVES * 16 + 1]
  )
{
  UINT32  *Words;
  UINT32  Last;
  UINT32  Leaf;

  Name[0]                 = '\0';
  Name[BRAND_LEAVES * 16] = '\0';
  AsmCpuid (0x80000000, &Last, NULL, NULL, NULL);
  if (Last < 0x80000001 + BRAND_LEAVES) {
    return;
  }

  for (Leaf = 0; Leaf < BRAND_LEAVES; Leaf++) {
    Words = (UINT32 *)(VOID *)(Name + 16 * Leaf);
    AsmCpuid (0x80000002 + Leaf, &Words[0], &Words[1], &Words[2], &Words[3]);
  }
}

/**
  Writes the head of the file: how the boot ended, and on what machine.

  @param[in]  LastBoot  The last boot.
  @param[out] Text      The head, HEAD_MAX bytes.

  @return Its length.
**/
STATIC
UINTN
WriteHead (
  IN  CONST ZPP_LAST_BOOT  *LastBoot,
  OUT CHAR8                *Text
  )
{
  CONST struct zpp_log_record  *Record;
  CHAR8                        End[sizeof (LastBoot->Reason) + 16];
  CHAR8                        Name[BRAND_LEAVES * 16 + 1] __attribute__ ((aligned (4)));
  UINT32                       Signature;
  EFI_TIME                     Time;
  UINTN                        Length;

  Record = LastBoot->Record;
  DescribeEnd (LastBoot, End, sizeof (End));
  CpuName (Name);
  AsmCpuid (1, &Signature, NULL, NULL, NULL);
  Length = AsciiSPrint (
             Text,
             HEAD_MAX,
             "zpp %d.%d.%d: the log of a boot that ended with: %a\n"
             "CPU: %a (CPUID.1:EAX %08x), %d CPUs\n"
             "firmware: %s, revision %x, UEFI %d.%d\n",
             (Record->zpp_version >> 16) & 0xff,
             (Record->zpp_version >> 8) & 0xff,
             Record->zpp_version & 0xff,
             End,
             Name,
             Signature,
             Record->cpu_count,
             gST->FirmwareVendor,
             gST->FirmwareRevision,
             gST->Hdr.Revision >> 16,
             gST->Hdr.Revision & 0xffff
             );
  if (!EFI_ERROR (gRT->GetTime (&Time, NULL))) {
    Length += AsciiSPrint (
                Text + Length,
                HEAD_MAX - Length,
                "saved: %04d-%02d-%02d %02d:%02d by the machine's clock\n",
                Time.Year,
                Time.Month,
                Time.Day,
                Time.Hour,
                Time.Minute
                );
  }

  if (!zpp_log_text_is_whole (Record)) {
    Length += AsciiSPrint (Text + Length, HEAD_MAX - Length, "some bytes of the log may be wrong\n");
  }

  return Length + AsciiSPrint (Text + Length, HEAD_MAX - Length, "\n");
}

/**
  Copies the text of the ring, oldest line first. What is not text becomes '?'.

  @param[in]  Record  The record.
  @param[out] Text    The text, ZPP_LOG_TEXT_SIZE bytes.

  @return Its length.
**/
STATIC
UINTN
CopyText (
  IN  CONST struct zpp_log_record  *Record,
  OUT CHAR8                        *Text
  )
{
  UINT64  Position;
  UINTN   Length;
  CHAR8   Char;

  Position = Record->written > ZPP_LOG_TEXT_SIZE ? Record->written - ZPP_LOG_TEXT_SIZE : 0;
  for (Length = 0; (Position != Record->written) && (Length < ZPP_LOG_TEXT_SIZE); Position++) {
    Char           = Record->text[Position % ZPP_LOG_TEXT_SIZE];
    Text[Length++] = ((Char >= ' ') && (Char <= '~')) || (Char == '\n') || (Char == '\t') ? Char : '?';
  }

  return Length;
}

/**
  Writes the file.

  @param[in]  Device    The volume's device.
  @param[in]  LastBoot  The last boot.
  @param[out] Name      The file's name.

  @retval EFI_SUCCESS  The file is written.
  @retval other        The file system's error.
**/
STATIC
EFI_STATUS
WriteFile (
  IN  EFI_HANDLE           Device,
  IN  CONST ZPP_LAST_BOOT  *LastBoot,
  OUT CHAR16               Name[ZPP_LOG_NAME_MAX]
  )
{
  CHAR8       *Text;
  UINTN       Length;
  EFI_STATUS  Status;

  Text = AllocatePool (HEAD_MAX + ZPP_LOG_TEXT_SIZE);
  if (Text == NULL) {
    return EFI_OUT_OF_RESOURCES;
  }

  Length  = WriteHead (LastBoot, Text);
  Length += CopyText (LastBoot->Record, Text + Length);
  Status  = ZppWriteLogFile (Device, Text, Length, Name);
  FreePool (Text);
  return Status;
}

/**
  Says why a log cannot be saved, and what to do.

  @param[in] Status  The error.

  @return A phrase, or NULL: the status itself has to do.
**/
STATIC
CONST CHAR8 *
Reason (
  IN EFI_STATUS  Status
  )
{
  switch (Status) {
    case EFI_VOLUME_FULL:
      return "the volume is full; delete files from it";
    case EFI_WRITE_PROTECTED:
      return "the volume or an old log there is read-only";
    case EFI_ACCESS_DENIED:
    case EFI_INVALID_PARAMETER:
    case EFI_NOT_FOUND:
      return "another file is in the way; move it out of \\EFI\\zpp";
    default:
      return NULL;
  }
}

VOID
ZppSaveLog (
  IN EFI_HANDLE  Device,
  IN BOOLEAN     Save
  )
{
  CONST ZPP_LAST_BOOT  *LastBoot;
  CHAR8                End[sizeof (LastBoot->Reason) + 16];
  CHAR16               Name[ZPP_LOG_NAME_MAX];
  EFI_STATUS           Status;

  LastBoot = ZppLastBoot ();
  if ((LastBoot->End == ZppEndUnknown) || (LastBoot->End == ZppEndClean)) {
    ZppForgetLastBoot ();
    return;
  }

  DescribeEnd (LastBoot, End, sizeof (End));
  if (!Save) {
    Print (L"zpp: the last boot ended with: %a\n", End);
    ZppForgetLastBoot ();
    return;
  }

  Status = WriteFile (Device, LastBoot, Name);
  if (!EFI_ERROR (Status)) {
    Print (L"zpp: the last boot ended with: %a; its log is %s\\%s\n", End, ZPP_LOG_FOLDER, Name);
    ZppForgetLastBoot ();
    return;
  }

  Print (L"zpp: the last boot ended with: %a; its log cannot be saved to %s: ", End, ZPP_LOG_FOLDER);
  if (Reason (Status) != NULL) {
    Print (L"%a\n", Reason (Status));
  } else {
    Print (L"%r\n", Status);
  }
}
