/** @file
  zpp.conf: the text format and its parser.

  ASCII text, LF or CRLF, one "key = value" per line, "#" comment lines, sections in brackets.
  Keys and sections are case-sensitive; a value extends to the end of its line. The parser allocates
  and copies nothing: its results point into the text. Plain C without EDK2, for tests on the build
  machine.
**/
#ifndef ZPP_BOOT_CONF_H_
#define ZPP_BOOT_CONF_H_

#include "Text.h"

#define ZPP_CONF_SIZE_MAX     (64u * 1024u)
#define ZPP_MENU_TIMEOUT_MAX  3600u

/// The keys before the first section.
typedef struct {
  bool        Hypervisor;   ///< "hypervisor"; on by default.
  ZPP_TEXT    Driver;       ///< "driver", or absent.
  bool        Check;        ///< "check": a diagnosis before the launch; off by default.
  bool        HasSerial;    ///< "serial" is present.
  uint16_t    Serial;       ///< Its I/O port, 0 for none.
  bool        Visible;      ///< "visible": CPUID shows zpp; off by default.
  uint16_t    ResetAfter;   ///< "reset-after": seconds from a crash to the reset, 0 for no reset.
  uint16_t    Trace;        ///< "trace": the debug port for the trace of VM exits, 0 for none.
  bool        SaveLog;      ///< "save-log": save the log of a boot that did not end normally; on by default.
  uint16_t    MenuTimeout;  ///< "menu-timeout": seconds that the menu waits, 0: only for a key.
  uint16_t    BootTries;    ///< "boot-tries": failed boots before zpp is turned off, 0: never.
  ZPP_TEXT    Default;      ///< "default": a section's name or a pattern of loader entries, or absent.
  unsigned    DefaultLine;  ///< Its line.
} ZPP_CONF;

/// A section: something to boot.
typedef struct {
  ZPP_TEXT    Path;         ///< "path": an EFI program.
  ZPP_TEXT    Initrd;       ///< "initrd", or absent.
  ZPP_TEXT    CommandLine;  ///< "cmdline", or absent.
} ZPP_CONF_ENTRY;

/**
  Called for each error in the text.

  @param[in] Context  The Context of ZppConfParse().
  @param[in] Line     The line's number, from 1.
  @param[in] Message  What is wrong.
  @param[in] What     The text that the message is about.
**/
typedef void (*ZPP_CONF_REPORT)(
  void        *Context,
  unsigned    Line,
  const char  *Message,
  ZPP_TEXT    What
  );

/**
  Parses the keys before the first section, and checks the whole text.

  An invalid line is reported and ignored, so the result is always usable.

  @param[in]  Text     The text.
  @param[in]  Size     Its size in bytes.
  @param[out] Conf     The keys, with defaults for those that are absent.
  @param[in]  Report   Called for each error.
  @param[in]  Context  Passed to Report.
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
  Called for each section.

  @param[in] Context  The Context of ZppConfVisit().
  @param[in] Name     The section's name.
  @param[in] Entry    Its keys; the path is not empty.
**/
typedef void (*ZPP_CONF_VISIT)(
  void                  *Context,
  ZPP_TEXT              Name,
  const ZPP_CONF_ENTRY  *Entry
  );

/**
  Visits the sections that have a path, in their order. A name may come twice: the first one counts.

  @param[in] Text     The text.
  @param[in] Size     Its size in bytes.
  @param[in] Visit    Called for each section.
  @param[in] Context  Passed to Visit.
**/
void
ZppConfVisit (
  const char      *Text,
  size_t          Size,
  ZPP_CONF_VISIT  Visit,
  void            *Context
  );

#endif
