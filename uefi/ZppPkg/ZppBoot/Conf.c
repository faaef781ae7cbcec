/** @file
  The parser of zpp.conf.
**/
#include "Conf.h"

#include <stddef.h>

#include <zpp/boot_info.h>
#include <zpp/boot_record.h>

/// What has been parsed so far, and the current position.
typedef struct {
  ZPP_TEXT           Rest;
  unsigned           Line;
  ZPP_CONF           *Conf;
  ZPP_CONF_ENTRY     *Entry;      ///< The current section's; NULL before the first section.
  ZPP_TEXT           Section;
  unsigned           SectionLine; ///< 0: the section's own line is invalid, and was reported.
  unsigned           Seen;        ///< One bit for each key of mKeys given in this section.
  ZPP_CONF_REPORT    Report;
  ZPP_CONF_VISIT     Visit;
  void               *Context;
} PARSER;

/**
  Stores a value.

  @retval NULL   The value is valid.
  @retval other  What is wrong with it.
**/
typedef const char *(*SET_VALUE)(
  PARSER    *Parser,
  ZPP_TEXT  Value
  );

typedef struct {
  const char    *Name;
  bool          InSection;
  SET_VALUE     Set;       ///< NULL: a switch.
  size_t        Switch;    ///< Its place in ZPP_CONF.
  const char    *Error;    ///< What is wrong if its value is neither "on" nor "off".
} KEY;

static bool
ReadNumber (
  ZPP_TEXT  Value,
  uint16_t  Max,
  uint16_t  *Target
  )
{
  uint32_t  Number;

  if (!ZppTextToNumber (Value, Max, &Number)) {
    return false;
  }

  *Target = (uint16_t)Number;
  return true;
}

static const char *
SetSwitch (
  const KEY  *Key,
  ZPP_CONF   *Conf,
  ZPP_TEXT   Value
  )
{
  if (!ZppTextIs (Value, "on") && !ZppTextIs (Value, "off")) {
    return Key->Error;
  }

  *(bool *)((char *)Conf + Key->Switch) = ZppTextIs (Value, "on");
  return NULL;
}

static const char *
SetSerial (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  if (!ZppTextToPort (Value, &Parser->Conf->Serial)) {
    return "serial must be an I/O port such as 0x3f8, or 0 for none, not";
  }

  Parser->Conf->HasSerial = true;
  return NULL;
}

static const char *
SetResetAfter (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return ReadNumber (Value, ZPP_RESET_AFTER_MAX, &Parser->Conf->ResetAfter) ? NULL :
         "reset-after must be a number of seconds up to 3600, or 0 for no reset, not";
}

static const char *
SetTrace (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  if (!ZppTextToPort (Value, &Parser->Conf->Trace)) {
    return "trace must be the I/O port of a debug port such as 0xe9, or 0 for none, not";
  }

  return NULL;
}

static const char *
SetMenuTimeout (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return ReadNumber (Value, ZPP_MENU_TIMEOUT_MAX, &Parser->Conf->MenuTimeout) ? NULL :
         "menu-timeout must be a number of seconds up to 3600, or 0 for no menu, not";
}

static const char *
SetBootTries (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return ReadNumber (Value, ZPP_BOOT_TRIES_MAX, &Parser->Conf->BootTries) ? NULL :
         "boot-tries must be a number up to 100, or 0 for no limit, not";
}

static const char *
SetText (
  ZPP_TEXT  *Target,
  ZPP_TEXT  Value
  )
{
  if (Value.Length == 0) {
    return "missing value for key";
  }

  *Target = Value;
  return NULL;
}

static const char *
SetDriver (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return SetText (&Parser->Conf->Driver, Value);
}

static const char *
SetDefault (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  Parser->Conf->DefaultLine = Parser->Line;
  return SetText (&Parser->Conf->Default, Value);
}

static const char *
SetPath (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return SetText (&Parser->Entry->Path, Value);
}

static const char *
SetInitrd (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return SetText (&Parser->Entry->Initrd, Value);
}

static const char *
SetCommandLine (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  // A command line may be empty.
  Parser->Entry->CommandLine = Value;
  return NULL;
}

#define SWITCH(Name, Field)          Name, false, NULL, offsetof (ZPP_CONF, Field), Name " must be on or off, not"
#define VALUE(Name, InSection, Set)  Name, InSection, Set, 0, NULL

static const KEY  mKeys[] = {
  { SWITCH ("hypervisor", Hypervisor)            },
  { SWITCH ("check", Check)                      },
  { SWITCH ("visible", Visible)                  },
  { SWITCH ("save-log", SaveLog)                 },
  { VALUE ("driver", false, SetDriver)           },
  { VALUE ("serial", false, SetSerial)           },
  { VALUE ("reset-after", false, SetResetAfter)  },
  { VALUE ("trace", false, SetTrace)             },
  { VALUE ("menu-timeout", false, SetMenuTimeout) },
  { VALUE ("boot-tries", false, SetBootTries)    },
  { VALUE ("default", false, SetDefault)         },
  { VALUE ("path", true, SetPath)                },
  { VALUE ("initrd", true, SetInitrd)            },
  { VALUE ("cmdline", true, SetCommandLine)      },
};

#define KEY_COUNT  (sizeof (mKeys) / sizeof (mKeys[0]))

static void
ReportError (
  PARSER      *Parser,
  unsigned    Line,
  const char  *Message,
  ZPP_TEXT    What
  )
{
  if (Parser->Report != NULL) {
    Parser->Report (Parser->Context, Line, Message, What);
  }
}

static void
ParsePair (
  PARSER    *Parser,
  ZPP_TEXT  Name,
  ZPP_TEXT  Value
  )
{
  bool        InSection;
  size_t      Index;
  const KEY   *Key;
  const char  *Error;

  InSection = Parser->Entry != NULL;
  for (Index = 0; Index < KEY_COUNT; Index++) {
    if ((mKeys[Index].InSection == InSection) && ZppTextIs (Name, mKeys[Index].Name)) {
      break;
    }
  }

  if (Index == KEY_COUNT) {
    ReportError (Parser, Parser->Line, InSection ? "unknown key in a section:" : "unknown key:", Name);
    return;
  }

  if ((Parser->Seen & (1u << Index)) != 0) {
    ReportError (Parser, Parser->Line, "duplicate key:", Name);
    return;
  }

  Parser->Seen |= 1u << Index;
  Key           = &mKeys[Index];
  Error         = Key->Set != NULL ? Key->Set (Parser, Value) : SetSwitch (Key, Parser->Conf, Value);
  if (Error != NULL) {
    ReportError (Parser, Parser->Line, Error, Value.Length != 0 ? Value : Name);
  }
}

static void
EndSection (
  PARSER  *Parser
  )
{
  if ((Parser->Entry == NULL) || (Parser->SectionLine == 0)) {
    return;
  }

  if (Parser->Entry->Path.Start == NULL) {
    ReportError (Parser, Parser->SectionLine, "this section has no path:", Parser->Section);
  } else if (Parser->Visit != NULL) {
    Parser->Visit (Parser->Context, Parser->Section, Parser->Entry);
  }
}

static void
BeginSection (
  PARSER          *Parser,
  ZPP_TEXT        Line,
  ZPP_CONF_ENTRY  *Entry
  )
{
  EndSection (Parser);
  *Entry              = (ZPP_CONF_ENTRY) { 0 };
  Parser->Entry       = Entry;
  Parser->Seen        = 0;
  Parser->SectionLine = Parser->Line;
  if ((Line.Length < 3) || (Line.Start[Line.Length - 1] != ']')) {
    ReportError (Parser, Parser->Line, "a section must be [name], not", Line);
    Parser->SectionLine = 0;
    Parser->Section     = (ZPP_TEXT) { Line.Start, 0 };
    return;
  }

  Parser->Section = ZppTextTrim (Line.Start + 1, Line.Start + Line.Length - 1);
}

static void
ParseLine (
  PARSER          *Parser,
  ZPP_TEXT        Line,
  ZPP_CONF_ENTRY  *Entry
  )
{
  const char  *End;
  const char  *Equal;

  if ((Line.Length == 0) || (Line.Start[0] == '#')) {
    return;
  }

  if (!ZppTextIsPrintable (Line)) {
    ReportError (Parser, Parser->Line, "only ASCII text is allowed here", (ZPP_TEXT) { Line.Start, 0 });
    return;
  }

  if (Line.Start[0] == '[') {
    BeginSection (Parser, Line, Entry);
    return;
  }

  End = Line.Start + Line.Length;
  for (Equal = Line.Start; (Equal < End) && (*Equal != '='); Equal++) {
  }

  if (Equal == End) {
    ReportError (Parser, Parser->Line, "a line must be key = value, not", Line);
    return;
  }

  ParsePair (Parser, ZppTextTrim (Line.Start, Equal), ZppTextTrim (Equal + 1, End));
}

/**
  Parses the whole text.

  @param[in,out] Parser  The text, its target, and what to call.
**/
static void
ParseText (
  PARSER  *Parser
  )
{
  ZPP_CONF_ENTRY  Entry;
  ZPP_TEXT        Line;

  *Parser->Conf = (ZPP_CONF) {
    .Hypervisor = true, .SaveLog = true, .ResetAfter = ZPP_RESET_AFTER_DEFAULT, .BootTries = ZPP_BOOT_TRIES_DEFAULT
  };
  while (ZppTextTakeLine (&Parser->Rest, &Line)) {
    Parser->Line++;
    ParseLine (Parser, Line, &Entry);
  }

  EndSection (Parser);
}

void
ZppConfParse (
  const char       *Text,
  size_t           Size,
  ZPP_CONF         *Conf,
  ZPP_CONF_REPORT  Report,
  void             *Context
  )
{
  PARSER  Parser;

  Parser = (PARSER) { .Rest = { Text, Size }, .Conf = Conf, .Report = Report, .Context = Context };
  ParseText (&Parser);
}

void
ZppConfVisit (
  const char      *Text,
  size_t          Size,
  ZPP_CONF_VISIT  Visit,
  void            *Context
  )
{
  ZPP_CONF  Conf;
  PARSER    Parser;

  Parser = (PARSER) { .Rest = { Text, Size }, .Conf = &Conf, .Visit = Visit, .Context = Context };
  ParseText (&Parser);
}
