/** @file
  Unified kernel images: their PE sections, and the os-release in one of them.
**/
#include "Uki.h"

// Microsoft's PE format: the DOS header, the COFF header, the section table.
#define DOS_PE_OFFSET        0x3Cu
#define COFF_HEADER          4u
#define COFF_SECTIONS        (COFF_HEADER + 2)
#define COFF_OPTIONAL_SIZE   (COFF_HEADER + 16)
#define COFF_END             (COFF_HEADER + 20)
#define MACHINE_X64          0x8664u
#define SECTION_SIZE         40u
#define SECTION_VIRTUAL      8u
#define SECTION_RAW_SIZE     16u
#define SECTION_RAW_OFFSET   20u

static uint32_t
Read16 (
  const uint8_t  *Bytes
  )
{
  return Bytes[0] | ((uint32_t)Bytes[1] << 8);
}

static uint32_t
Read32 (
  const uint8_t  *Bytes
  )
{
  return Read16 (Bytes) | (Read16 (Bytes + 2) << 16);
}

bool
ZppUkiFindOsRelease (
  const uint8_t  *Headers,
  size_t         Size,
  uint32_t       *Offset,
  uint32_t       *Length
  )
{
  static const char  Name[8] = ".osrel";
  const uint8_t      *Pe;
  size_t             Place;
  uint32_t           Section;
  unsigned           Index;

  if ((Size < DOS_PE_OFFSET + 4) || (Headers[0] != 'M') || (Headers[1] != 'Z')) {
    return false;
  }

  Place = Read32 (Headers + DOS_PE_OFFSET);
  if ((Place > Size) || (Size - Place < COFF_END)) {
    return false;
  }

  Pe = Headers + Place;
  if ((Read32 (Pe) != 0x4550) || (Read16 (Pe + COFF_HEADER) != MACHINE_X64)) {
    return false;
  }

  Place += COFF_END + Read16 (Pe + COFF_OPTIONAL_SIZE);
  for (Section = Read16 (Pe + COFF_SECTIONS); (Section > 0) && (Place + SECTION_SIZE <= Size); Section--) {
    for (Index = 0; (Index < sizeof (Name)) && (Headers[Place + Index] == (uint8_t)Name[Index]); Index++) {
    }

    if (Index == sizeof (Name)) {
      // The file's part is padded; the part in memory is exact.
      *Offset = Read32 (Headers + Place + SECTION_RAW_OFFSET);
      *Length = Read32 (Headers + Place + SECTION_RAW_SIZE);
      if (Read32 (Headers + Place + SECTION_VIRTUAL) < *Length) {
        *Length = Read32 (Headers + Place + SECTION_VIRTUAL);
      }

      return *Length != 0;
    }

    Place += SECTION_SIZE;
  }

  return false;
}

/**
  The value of a line of os-release, without the quotes around it.

  @param[in]  Line  The line.
  @param[in]  Key   The key.

  @return The value, absent if the line is another key's or the value is empty.
**/
static ZPP_TEXT
ValueOf (
  ZPP_TEXT    Line,
  const char  *Key
  )
{
  size_t    Length;
  ZPP_TEXT  Value;

  for (Length = 0; (Length < Line.Length) && (Key[Length] != '\0') && (Line.Start[Length] == Key[Length]); Length++) {
  }

  if ((Key[Length] != '\0') || (Length == Line.Length) || (Line.Start[Length] != '=')) {
    return (ZPP_TEXT) { 0 };
  }

  Value = (ZPP_TEXT) { Line.Start + Length + 1, Line.Length - Length - 1 };
  if ((Value.Length >= 2) && ((Value.Start[0] == '"') || (Value.Start[0] == '\'')) &&
      (Value.Start[Value.Length - 1] == Value.Start[0]))
  {
    Value = (ZPP_TEXT) { Value.Start + 1, Value.Length - 2 };
  }

  return Value.Length == 0 ? (ZPP_TEXT) { 0 } : Value;
}

/**
  Finds the first key of a list that an os-release has.

  @param[in] Text  The text.
  @param[in] Keys  The keys, the best first; ends with NULL.

  @return Its value, or absent.
**/
static ZPP_TEXT
FindFirst (
  ZPP_TEXT           Text,
  const char *const  *Keys
  )
{
  ZPP_TEXT  Rest;
  ZPP_TEXT  Line;
  ZPP_TEXT  Value;

  for ( ; *Keys != NULL; Keys++) {
    Rest = Text;
    while (ZppTextTakeLine (&Rest, &Line)) {
      Value = ValueOf (Line, *Keys);
      if (Value.Start != NULL) {
        return Value;
      }
    }
  }

  return (ZPP_TEXT) { 0 };
}

void
ZppOsReleaseParse (
  ZPP_TEXT        Text,
  ZPP_OS_RELEASE  *OsRelease
  )
{
  static const char *const  Titles[]   = { "PRETTY_NAME", "IMAGE_ID", "NAME", "ID", NULL };
  static const char *const  Versions[] = { "IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID", NULL };
  static const char *const  SortKeys[] = { "IMAGE_ID", "ID", NULL };

  // A section may be padded with zeros.
  while ((Text.Length != 0) && (Text.Start[Text.Length - 1] == '\0')) {
    Text.Length--;
  }

  OsRelease->Title   = FindFirst (Text, Titles);
  OsRelease->Version = FindFirst (Text, Versions);
  OsRelease->SortKey = FindFirst (Text, SortKeys);
}
