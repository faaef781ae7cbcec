/** @file
  zpp.conf: the text format and its parser.
**/
#include "Conf.h"

#include <zpp/boot_info.h>

/// What is read so far, and where the reader is.
typedef struct {
  const char         *Next;
  const char         *End;
  unsigned           Line;
  ZPP_CONF           *Conf;
  ZPP_CONF_ENTRY     *Entry;     ///< The current section's; NULL before the first section.
  ZPP_TEXT           Section;
  unsigned           SectionLine; ///< 0: the section's own line is faulty, and was reported.
  unsigned           Seen;       ///< One bit for each key of mKeys given in this section.
  ZPP_CONF_REPORT    Report;
  void               *Context;
} READER;

/**
  Takes a value.

  @retval NULL   The value is valid.
  @retval other  What is wrong with it.
**/
typedef const char *(*TAKE_VALUE)(
  READER    *Reader,
  ZPP_TEXT  Value
  );

typedef struct {
  const char    *Name;
  bool          InSection;
  TAKE_VALUE    Take;
} KEY;

static bool
IsBlank (
  char  Char
  )
{
  return (Char == ' ') || (Char == '\t');
}

static ZPP_TEXT
Trim (
  const char  *Start,
  const char  *End
  )
{
  while ((Start < End) && IsBlank (*Start)) {
    Start++;
  }

  while ((Start < End) && IsBlank (End[-1])) {
    End--;
  }

  return (ZPP_TEXT) { Start, (size_t)(End - Start) };
}

static bool
Equals (
  ZPP_TEXT    Text,
  const char  *Other
  )
{
  size_t  Index;

  for (Index = 0; Index < Text.Length; Index++) {
    if ((Other[Index] == '\0') || (Text.Start[Index] != Other[Index])) {
      return false;
    }
  }

  return Other[Index] == '\0';
}

static bool
SameText (
  ZPP_TEXT  A,
  ZPP_TEXT  B
  )
{
  size_t  Index;

  if (A.Length != B.Length) {
    return false;
  }

  for (Index = 0; Index < A.Length; Index++) {
    if (A.Start[Index] != B.Start[Index]) {
      return false;
    }
  }

  return true;
}

static bool
IsPrintable (
  ZPP_TEXT  Text
  )
{
  size_t  Index;

  for (Index = 0; Index < Text.Length; Index++) {
    if (((Text.Start[Index] < ' ') || (Text.Start[Index] > '~')) && (Text.Start[Index] != '\t')) {
      return false;
    }
  }

  return true;
}

static unsigned
DigitOf (
  char  Char
  )
{
  if ((Char >= '0') && (Char <= '9')) {
    return (unsigned)(Char - '0');
  }

  if ((Char >= 'a') && (Char <= 'f')) {
    return (unsigned)(Char - 'a') + 10;
  }

  if ((Char >= 'A') && (Char <= 'F')) {
    return (unsigned)(Char - 'A') + 10;
  }

  return 16;
}

static bool
ReadPort (
  ZPP_TEXT  Text,
  uint16_t  *Port
  )
{
  unsigned  Base;
  uint32_t  Value;
  size_t    Index;

  Base  = 10;
  Index = 0;
  if ((Text.Length > 2) && (Text.Start[0] == '0') && ((Text.Start[1] | 0x20) == 'x')) {
    Base  = 16;
    Index = 2;
  }

  if (Index == Text.Length) {
    return false;
  }

  for (Value = 0; Index < Text.Length; Index++) {
    if (DigitOf (Text.Start[Index]) >= Base) {
      return false;
    }

    Value = Value * Base + DigitOf (Text.Start[Index]);
    if (Value > ZPP_SERIAL_PORT_MAX) {
      return false;
    }
  }

  *Port = (uint16_t)Value;
  return true;
}

static const char *
TakeHypervisor (
  READER    *Reader,
  ZPP_TEXT  Value
  )
{
  if (!Equals (Value, "on") && !Equals (Value, "off")) {
    return "hypervisor must be on or off, not";
  }

  Reader->Conf->Hypervisor = Equals (Value, "on");
  return NULL;
}

static const char *
TakeSerial (
  READER    *Reader,
  ZPP_TEXT  Value
  )
{
  if (!ReadPort (Value, &Reader->Conf->Serial)) {
    return "serial must be an I/O port such as 0x3f8, or 0 for none, not";
  }

  Reader->Conf->HasSerial = true;
  return NULL;
}

static const char *
TakeText (
  ZPP_TEXT  *Target,
  ZPP_TEXT  Value
  )
{
  if (Value.Length == 0) {
    return "a value is missing:";
  }

  *Target = Value;
  return NULL;
}

static const char *
TakeDriver (
  READER    *Reader,
  ZPP_TEXT  Value
  )
{
  return TakeText (&Reader->Conf->Driver, Value);
}

static const char *
TakeDefault (
  READER    *Reader,
  ZPP_TEXT  Value
  )
{
  Reader->Conf->DefaultLine = Reader->Line;
  return TakeText (&Reader->Conf->Default, Value);
}

static const char *
TakePath (
  READER    *Reader,
  ZPP_TEXT  Value
  )
{
  return TakeText (&Reader->Entry->Path, Value);
}

static const char *
TakeInitrd (
  READER    *Reader,
  ZPP_TEXT  Value
  )
{
  return TakeText (&Reader->Entry->Initrd, Value);
}

static const char *
TakeCommandLine (
  READER    *Reader,
  ZPP_TEXT  Value
  )
{
  // An empty command line is a command line.
  Reader->Entry->CommandLine = Value;
  return NULL;
}

static const KEY  mKeys[] = {
  { "hypervisor", false, TakeHypervisor  },
  { "driver",     false, TakeDriver      },
  { "serial",     false, TakeSerial      },
  { "default",    false, TakeDefault     },
  { "path",       true,  TakePath        },
  { "initrd",     true,  TakeInitrd      },
  { "cmdline",    true,  TakeCommandLine },
};

static void
Complain (
  READER      *Reader,
  const char  *Message,
  ZPP_TEXT    What
  )
{
  if (Reader->Report != NULL) {
    Reader->Report (Reader->Context, Reader->Line, Message, What);
  }
}

static void
ReadPair (
  READER    *Reader,
  ZPP_TEXT  Name,
  ZPP_TEXT  Value
  )
{
  size_t      Index;
  const char  *Fault;

  for (Index = 0; Index < sizeof (mKeys) / sizeof (mKeys[0]); Index++) {
    if ((mKeys[Index].InSection == (Reader->Entry != NULL)) && Equals (Name, mKeys[Index].Name)) {
      break;
    }
  }

  if (Index == sizeof (mKeys) / sizeof (mKeys[0])) {
    Complain (Reader, Reader->Entry != NULL ? "no such key in a section:" : "no such key:", Name);
    return;
  }

  if ((Reader->Seen & (1u << Index)) != 0) {
    Complain (Reader, "this key was given before:", Name);
    return;
  }

  Reader->Seen |= 1u << Index;
  Fault         = mKeys[Index].Take (Reader, Value);
  if (Fault != NULL) {
    Complain (Reader, Fault, Value.Length != 0 ? Value : Name);
  }
}

static void
EndSection (
  READER  *Reader
  )
{
  unsigned  Line;

  if ((Reader->Entry != NULL) && (Reader->Entry->Path.Start == NULL) && (Reader->SectionLine != 0)) {
    Line         = Reader->Line;
    Reader->Line = Reader->SectionLine;
    Complain (Reader, "this section has no path:", Reader->Section);
    Reader->Line = Line;
  }
}

static void
BeginSection (
  READER          *Reader,
  ZPP_TEXT        Line,
  ZPP_CONF_ENTRY  *Entry
  )
{
  EndSection (Reader);
  *Entry              = (ZPP_CONF_ENTRY) { 0 };
  Reader->Entry       = Entry;
  Reader->Seen        = 0;
  Reader->SectionLine = Reader->Line;
  Reader->Section     = Line;
  if ((Line.Length < 3) || (Line.Start[Line.Length - 1] != ']')) {
    Complain (Reader, "a section is [name], not", Line);
    Reader->SectionLine = 0;
    Reader->Section     = (ZPP_TEXT) { Line.Start, 0 };
    return;
  }

  Reader->Section = Trim (Line.Start + 1, Line.Start + Line.Length - 1);
}

static bool
NextLine (
  READER    *Reader,
  ZPP_TEXT  *Line
  )
{
  const char  *Start;
  const char  *End;

  if (Reader->Next == Reader->End) {
    return false;
  }

  Start = Reader->Next;
  for (End = Start; (End < Reader->End) && (*End != '\n'); End++) {
  }

  Reader->Next = End < Reader->End ? End + 1 : End;
  Reader->Line++;
  if ((End > Start) && (End[-1] == '\r')) {
    End--;
  }

  *Line = Trim (Start, End);
  return true;
}

static void
ReadLine (
  READER          *Reader,
  ZPP_TEXT        Line,
  ZPP_CONF_ENTRY  *Entry
  )
{
  const char  *End;
  const char  *Equal;

  if ((Line.Length == 0) || (Line.Start[0] == '#')) {
    return;
  }

  if (!IsPrintable (Line)) {
    Complain (Reader, "only ASCII text is allowed here", (ZPP_TEXT) { Line.Start, 0 });
    return;
  }

  if (Line.Start[0] == '[') {
    BeginSection (Reader, Line, Entry);
    return;
  }

  End = Line.Start + Line.Length;
  for (Equal = Line.Start; (Equal < End) && (*Equal != '='); Equal++) {
  }

  if (Equal == End) {
    Complain (Reader, "a line is key = value, not", Line);
    return;
  }

  ReadPair (Reader, Trim (Line.Start, Equal), Trim (Equal + 1, End));
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
  READER          Reader;
  ZPP_CONF_ENTRY  Entry;
  ZPP_TEXT        Line;

  *Conf  = (ZPP_CONF) { .Hypervisor = true };
  Reader = (READER) {
    .Next = Text, .End = Text + Size, .Conf = Conf, .Report = Report, .Context = Context
  };
  while (NextLine (&Reader, &Line)) {
    ReadLine (&Reader, Line, &Entry);
  }

  EndSection (&Reader);
}

bool
ZppConfFindEntry (
  const char      *Text,
  size_t          Size,
  ZPP_TEXT        Name,
  ZPP_CONF_ENTRY  *Entry
  )
{
  READER          Reader;
  ZPP_CONF        Conf;
  ZPP_CONF_ENTRY  Current;
  ZPP_TEXT        Line;

  *Entry = (ZPP_CONF_ENTRY) { 0 };
  Reader = (READER) { .Next = Text, .End = Text + Size, .Conf = &Conf };
  while (NextLine (&Reader, &Line)) {
    ReadLine (&Reader, Line, &Current);
    if ((Reader.Entry != NULL) && SameText (Reader.Section, Name)) {
      *Entry = Current;
    } else if ((Reader.Entry != NULL) && (Entry->Path.Start != NULL)) {
      break;
    }
  }

  return Entry->Path.Start != NULL;
}
