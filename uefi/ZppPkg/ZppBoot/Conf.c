/** @file
  The parser of zpp.conf.
**/
#include "Conf.h"

#include <zpp/boot_info.h>

/// What has been parsed so far, and the current position.
typedef struct {
  const char         *Next;
  const char         *End;
  unsigned           Line;
  ZPP_CONF           *Conf;
  ZPP_CONF_ENTRY     *Entry;      ///< The current section's; NULL before the first section.
  ZPP_TEXT           Section;
  unsigned           SectionLine; ///< 0: the section's own line is invalid, and was reported.
  unsigned           Seen;        ///< One bit for each key of mKeys given in this section.
  ZPP_CONF_REPORT    Report;
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
  SET_VALUE     Set;
} KEY;

static const char *
SetSwitch (
  bool        *Target,
  ZPP_TEXT    Value,
  const char  *Error
  )
{
  if (!ZppTextIs (Value, "on") && !ZppTextIs (Value, "off")) {
    return Error;
  }

  *Target = ZppTextIs (Value, "on");
  return NULL;
}

static const char *
SetHypervisor (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return SetSwitch (&Parser->Conf->Hypervisor, Value, "hypervisor must be on or off, not");
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
SetVisible (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return SetSwitch (&Parser->Conf->Visible, Value, "visible must be on or off, not");
}

static const char *
SetSaveLog (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  return SetSwitch (&Parser->Conf->SaveLog, Value, "save-log must be on or off, not");
}

static const char *
SetResetAfter (
  PARSER    *Parser,
  ZPP_TEXT  Value
  )
{
  uint16_t  Seconds;

  if (!ZppTextToPort (Value, &Seconds) || (Seconds > ZPP_RESET_AFTER_MAX)) {
    return "reset-after must be a number of seconds up to 3600, or 0 for no reset, not";
  }

  Parser->Conf->ResetAfter = Seconds;
  return NULL;
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

static const KEY  mKeys[] = {
  { "hypervisor", false, SetHypervisor  },
  { "driver",     false, SetDriver      },
  { "serial",     false, SetSerial      },
  { "visible",    false, SetVisible     },
  { "reset-after", false, SetResetAfter },
  { "trace",      false, SetTrace       },
  { "save-log",   false, SetSaveLog     },
  { "default",    false, SetDefault     },
  { "path",       true,  SetPath        },
  { "initrd",     true,  SetInitrd      },
  { "cmdline",    true,  SetCommandLine },
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
  Error         = mKeys[Index].Set (Parser, Value);
  if (Error != NULL) {
    ReportError (Parser, Parser->Line, Error, Value.Length != 0 ? Value : Name);
  }
}

static void
EndSection (
  PARSER  *Parser
  )
{
  if ((Parser->Entry != NULL) && (Parser->Entry->Path.Start == NULL) && (Parser->SectionLine != 0)) {
    ReportError (Parser, Parser->SectionLine, "this section has no path:", Parser->Section);
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

static bool
NextLine (
  PARSER    *Parser,
  ZPP_TEXT  *Line
  )
{
  const char  *Start;
  const char  *End;

  if (Parser->Next == Parser->End) {
    return false;
  }

  Start = Parser->Next;
  for (End = Start; (End < Parser->End) && (*End != '\n'); End++) {
  }

  Parser->Next = End < Parser->End ? End + 1 : End;
  Parser->Line++;
  if ((End > Start) && (End[-1] == '\r')) {
    End--;
  }

  *Line = ZppTextTrim (Start, End);
  return true;
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

void
ZppConfParse (
  const char       *Text,
  size_t           Size,
  ZPP_CONF         *Conf,
  ZPP_CONF_REPORT  Report,
  void             *Context
  )
{
  PARSER          Parser;
  ZPP_CONF_ENTRY  Entry;
  ZPP_TEXT        Line;

  *Conf  = (ZPP_CONF) { .Hypervisor = true, .SaveLog = true, .ResetAfter = ZPP_RESET_AFTER_DEFAULT };
  Parser = (PARSER) {
    .Next = Text, .End = Text + Size, .Conf = Conf, .Report = Report, .Context = Context
  };
  while (NextLine (&Parser, &Line)) {
    ParseLine (&Parser, Line, &Entry);
  }

  EndSection (&Parser);
}

bool
ZppConfFindEntry (
  const char      *Text,
  size_t          Size,
  ZPP_TEXT        Name,
  ZPP_CONF_ENTRY  *Entry
  )
{
  PARSER          Parser;
  ZPP_CONF        Conf;
  ZPP_CONF_ENTRY  Current;
  ZPP_TEXT        Line;

  *Entry = (ZPP_CONF_ENTRY) { 0 };
  Parser = (PARSER) { .Next = Text, .End = Text + Size, .Conf = &Conf };
  while (NextLine (&Parser, &Line)) {
    ParseLine (&Parser, Line, &Current);
    if ((Parser.Entry != NULL) && ZppTextEquals (Parser.Section, Name)) {
      *Entry = Current;
    } else if ((Parser.Entry != NULL) && (Entry->Path.Start != NULL)) {
      break;
    }
  }

  return Entry->Path.Start != NULL;
}
