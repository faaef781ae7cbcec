/** @file
  Pieces of a text, and the values they stand for.

  Plain C without EDK2, for tests on the build machine.
**/
#ifndef ZPP_BOOT_TEXT_H_
#define ZPP_BOOT_TEXT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A piece of a text, without a terminating zero. Absent: Start is NULL.
typedef struct {
  const char    *Start;
  size_t        Length;
} ZPP_TEXT;

/**
  The text from Start to End without the blanks around it.

  @param[in] Start  The first character.
  @param[in] End    The character after the last one.

  @return The text.
**/
ZPP_TEXT
ZppTextTrim (
  const char  *Start,
  const char  *End
  );

/**
  Compares a text with a zero-terminated string.

  @param[in] Text    The text.
  @param[in] String  The string.

  @retval true   They are equal.
  @retval false  They differ.
**/
bool
ZppTextIs (
  ZPP_TEXT    Text,
  const char  *String
  );

/**
  Compares two texts.

  @param[in] A  One text.
  @param[in] B  The other.

  @retval true   They are equal.
  @retval false  They differ.
**/
bool
ZppTextEquals (
  ZPP_TEXT  A,
  ZPP_TEXT  B
  );

/**
  Checks for control and non-ASCII characters. Tabs are allowed.

  @param[in] Text  The text.

  @retval true   It has none.
  @retval false  It has at least one.
**/
bool
ZppTextIsPrintable (
  ZPP_TEXT  Text
  );

/**
  Reads a number, decimal or hexadecimal with 0x.

  @param[in]  Text    The text.
  @param[in]  Max     The largest valid number.
  @param[out] Number  The number.

  @retval true   The text is a number up to Max.
  @retval false  It is not.
**/
bool
ZppTextToNumber (
  ZPP_TEXT  Text,
  uint32_t  Max,
  uint32_t  *Number
  );

/**
  Takes a line from the start of a text. A line ends with LF or CRLF.

  @param[in,out] Text  The text; on return what follows the line.
  @param[out]    Line  The line without the blanks around it.

  @retval true   There was a line.
  @retval false  The text is empty.
**/
bool
ZppTextTakeLine (
  ZPP_TEXT  *Text,
  ZPP_TEXT  *Line
  );

/**
  Compares a text with a pattern. Ignores the case of ASCII letters, as FAT does.

  @param[in] Text     The text.
  @param[in] Pattern  The pattern; '*' stands for any characters, '?' for one.

  @retval true   The text matches.
  @retval false  It does not.
**/
bool
ZppTextMatches (
  ZPP_TEXT  Text,
  ZPP_TEXT  Pattern
  );

/**
  Converts UTF-8 to UTF-16. U+FFFD stands for each byte that is not UTF-8.

  @param[in]  Text  The text.
  @param[out] Wide  At least Text.Length units; gets no terminating zero.

  @return The number of units written.
**/
size_t
ZppTextToUtf16 (
  ZPP_TEXT  Text,
  uint16_t  *Wide
  );

/**
  Reads the I/O port of a UART, decimal or hexadecimal with 0x.

  @param[in]  Text  The text.
  @param[out] Port  The port.

  @retval true   The text is a port.
  @retval false  It is not a number, or the UART's eight ports do not fit there.
**/
bool
ZppTextToPort (
  ZPP_TEXT  Text,
  uint16_t  *Port
  );

#endif
