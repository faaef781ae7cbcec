/** @file
  Unified kernel images, type #2 entries of the Boot Loader Specification: their PE sections, and
  the os-release in one of them.

  Plain C without EDK2, for tests on the build machine.
**/
#ifndef ZPP_BOOT_UKI_H_
#define ZPP_BOOT_UKI_H_

#include "Text.h"

/// Bytes from the start of the file that contain all headers.
#define ZPP_UKI_HEADERS_MAX     4096u
#define ZPP_UKI_OS_RELEASE_MAX  (64u * 1024u)

/**
  Finds the section ".osrel" of an EFI program.

  @param[in]  Headers  The start of the file.
  @param[in]  Size     Its size in bytes.
  @param[out] Offset   The section's offset in the file.
  @param[out] Length   Its size in bytes.

  @retval true   The program is for x86-64 and has the section.
  @retval false  It is not, or has none.
**/
bool
ZppUkiFindOsRelease (
  const uint8_t  *Headers,
  size_t         Size,
  uint32_t       *Offset,
  uint32_t       *Length
  );

/// The fields of os-release that describe an image; each may be absent.
typedef struct {
  ZPP_TEXT    Title;
  ZPP_TEXT    Version;
  ZPP_TEXT    SortKey;
} ZPP_OS_RELEASE;

/**
  Parses an os-release.

  @param[in]  Text       The text.
  @param[out] OsRelease  Its fields.
**/
void
ZppOsReleaseParse (
  ZPP_TEXT        Text,
  ZPP_OS_RELEASE  *OsRelease
  );

#endif
