/** @file
  zpp.conf: the text format and its parser.

  ASCII text, LF or CRLF, one "key = value" a line, "#" comment lines, sections in brackets.
  Keys and sections are case-sensitive; a value runs to the end of its line. Nothing is allocated
  or copied: the results point into the text. Plain C without EDK2, for tests on the build machine.
**/
#ifndef ZPP_BOOT_CONF_H_
#define ZPP_BOOT_CONF_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZPP_CONF_SIZE_MAX  (64u * 1024u)

/// A piece of the text, without a terminating zero. Absent: Start is NULL.
typedef struct {
  const char    *Start;
  size_t        Length;
} ZPP_TEXT;

/// The keys before the first section.
typedef struct {
  bool        Hypervisor;   ///< "hypervisor": on unless it says off.
  ZPP_TEXT    Driver;       ///< "driver", or absent.
  bool        HasSerial;    ///< "serial" was given.
  uint16_t    Serial;       ///< Its I/O port, 0 for none.
  ZPP_TEXT    Default;      ///< "default": a section's name, or absent.
  unsigned    DefaultLine;  ///< Its line.
} ZPP_CONF;

/// A section: something to boot.
typedef struct {
  ZPP_TEXT    Path;         ///< "path": an EFI program.
  ZPP_TEXT    Initrd;       ///< "initrd", or absent.
  ZPP_TEXT    CommandLine;  ///< "cmdline", or absent.
} ZPP_CONF_ENTRY;

/**
  Is told of each fault of the text.

  @param[in] Context  What was given to ZppConfParse().
  @param[in] Line     The line's number, from 1.
  @param[in] Message  What is wrong.
  @param[in] What     The piece of text that is wrong.
**/
typedef void (*ZPP_CONF_REPORT)(
  void        *Context,
  unsigned    Line,
  const char  *Message,
  ZPP_TEXT    What
  );

/**
  Reads the keys before the first section, and checks all of the text.

  A faulty line is reported and has no effect, so the result is always usable.

  @param[in]  Text     The text.
  @param[in]  Size     Its size in bytes.
  @param[out] Conf     The keys, with defaults for those that are absent.
  @param[in]  Report   Called for each fault.
  @param[in]  Context  Given to Report.
**/
void
ZppConfParse (
  const char       *Text,
  size_t           Size,
  ZPP_CONF         *Conf,
  ZPP_CONF_REPORT  Report,
  void             *Context
  );

/**
  Reads a section.

  @param[in]  Text   The text.
  @param[in]  Size   Its size in bytes.
  @param[in]  Name   The section's name.
  @param[out] Entry  What it says.

  @retval true   The section is there and has a path.
  @retval false  It is not there, or has no path.
**/
bool
ZppConfFindEntry (
  const char      *Text,
  size_t          Size,
  ZPP_TEXT        Name,
  ZPP_CONF_ENTRY  *Entry
  );

#endif
