/** @file
  What the menu offers besides booting.
**/
#ifndef ZPP_BOOT_TOOLS_H_
#define ZPP_BOOT_TOOLS_H_

#include <Uefi.h>

/**
  Checks whether this machine has a tool.

  @retval TRUE   It does.
  @retval FALSE  It does not.
**/
typedef BOOLEAN (*ZPP_TOOL_CHECK)(
  VOID
  );

/**
  Runs a tool. Returns to the menu, if at all.

  @param[in] ImageHandle  This program's image.
  @param[in] Device       The volume's device.
**/
typedef VOID (*ZPP_TOOL_RUN)(
  IN EFI_HANDLE  ImageHandle,
  IN EFI_HANDLE  Device
  );

typedef struct {
  CONST CHAR16      *Title;
  ZPP_TOOL_CHECK    IsAvailable;  ///< NULL: every machine has it.
  ZPP_TOOL_RUN      Run;
} ZPP_TOOL;

/**
  Counts the tools that this machine has.

  @return Their number.
**/
UINTN
ZppToolCount (
  VOID
  );

/**
  Finds a tool among those that this machine has.

  @param[in] Index  Its place, less than ZppToolCount().

  @return The tool.
**/
CONST ZPP_TOOL *
ZppGetTool (
  IN UINTN  Index
  );

#endif
