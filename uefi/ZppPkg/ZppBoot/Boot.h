/** @file
  One boot, from zpp.conf to the start of the operating system.
**/
#ifndef ZPP_BOOT_BOOT_H_
#define ZPP_BOOT_BOOT_H_

#include "Conf.h"
#include "Entries.h"
#include "FailedBoots.h"
#include "Wish.h"

#define ZPP_CONF_PATH  L"\\EFI\\zpp\\zpp.conf"

/// zpp.conf: its text, which contains the entries, and the parsed keys.
typedef struct {
  CHAR8       *Text;
  UINTN       Size;
  ZPP_CONF    Keys;
} ZPP_CONF_FILE;

/// This boot.
typedef struct {
  EFI_HANDLE         ImageHandle;
  EFI_HANDLE         Device;
  EFI_EVENT          KeyTime;   ///< Signalled when the time to wait for a key is over.
  ZPP_CONF_FILE      Conf;
  ZPP_BOOTS          Boots;
  ZPP_WISH           Wish;
  ZPP_ENTRIES        Entries;
  CONST ZPP_ENTRY    *Entry;    ///< What to start.
  EFI_HANDLE         Program;   ///< Its image; NULL: not loaded.
} ZPP_BOOT;

/**
  Reads zpp.conf.

  @param[in]  Device  The volume's device.
  @param[out] Conf    The file's content, or the defaults if it cannot be read.
**/
VOID
ZppReadConf (
  IN  EFI_HANDLE     Device,
  OUT ZPP_CONF_FILE  *Conf
  );

/**
  Prints an error in zpp.conf.

  @param[in] Context  Not used.
  @param[in] Line     The line's number, from 1.
  @param[in] Message  What is wrong.
  @param[in] What     The text that the message is about.
**/
VOID
ZppPrintConfError (
  IN VOID        *Context,
  IN unsigned    Line,
  IN CONST char  *Message,
  IN ZPP_TEXT    What
  );

/**
  Finds out whether the hypervisor should start, before the user is asked.

  @param[in,out] Boot  The boot; zpp.conf is read.
**/
VOID
ZppReadWish (
  IN OUT ZPP_BOOT  *Boot
  );

/**
  Decides what starts: the default, or what the user wants.

  @param[in,out] Boot  The boot; gets the entry, its program and the wish.
**/
VOID
ZppDecide (
  IN OUT ZPP_BOOT  *Boot
  );

#endif
