/** @file
  Loader entries as in the Boot Loader Specification (UAPI.1): the text of type #1, the order.

  Allocates and copies nothing: its results point into the text. Plain C without EDK2, for tests on
  the build machine.
**/
#ifndef ZPP_BOOT_BLS_H_
#define ZPP_BOOT_BLS_H_

#include "Text.h"

#define ZPP_BLS_SIZE_MAX  (64u * 1024u)

/// The keys of an entry that come once; each may be absent.
typedef struct {
  ZPP_TEXT    Title;
  ZPP_TEXT    Version;
  ZPP_TEXT    MachineId;
  ZPP_TEXT    SortKey;
  ZPP_TEXT    Program;      ///< "linux", "efi" or "uki".
} ZPP_BLS;

typedef enum {
  ZppBlsValid,
  ZppBlsOtherMachine,       ///< For another architecture: to be hidden.
  ZppBlsNoProgram           ///< Names nothing to start.
} ZPP_BLS_RESULT;

/**
  Parses the text of a type #1 entry. Unknown keys are ignored.

  @param[in]  Text   The text.
  @param[out] Entry  Its keys.

  @return Whether the entry can be used.
**/
ZPP_BLS_RESULT
ZppBlsParse (
  ZPP_TEXT  Text,
  ZPP_BLS   *Entry
  );

/**
  Finds the next value of a key that may come several times: "initrd", "options".

  @param[in,out] Text   The text; on return what follows the value's line.
  @param[in]     Key    The key.
  @param[out]    Value  Its value.

  @retval true   There is a value.
  @retval false  There is none.
**/
bool
ZppBlsNext (
  ZPP_TEXT    *Text,
  const char  *Key,
  ZPP_TEXT    *Value
  );

/// A file name with its boot counter: NAME+LEFT-DONE.conf, NAME+LEFT.efi, or without a counter.
typedef struct {
  ZPP_TEXT    Stem;         ///< The name without counter and suffix.
  ZPP_TEXT    Suffix;       ///< ".conf" or ".efi".
  bool        Counted;      ///< The name has a counter.
  uint32_t    Left;         ///< Tries left; 0: the entry is bad.
  uint32_t    Done;         ///< Tries done.
} ZPP_BLS_NAME;

/// Bytes for ZppBlsCountedName(), besides the stem and the suffix.
#define ZPP_BLS_COUNTER_MAX  sizeof ("+4294967295-4294967295")

/**
  Splits a file name.

  @param[in]  Name    The name.
  @param[in]  Suffix  The suffix to expect, such as ".conf"; case is ignored.
  @param[out] Parts   Its parts.

  @retval true   The name has this suffix.
  @retval false  It has not.
**/
bool
ZppBlsSplitName (
  ZPP_TEXT      Name,
  const char    *Suffix,
  ZPP_BLS_NAME  *Parts
  );

/**
  Makes the name of a counted entry once it is tried: one try less left, one more done.

  @param[in]  Parts  The name; counted, with a try left.
  @param[out] Name   The new name, with a terminating zero.
**/
void
ZppBlsNextName (
  const ZPP_BLS_NAME  *Parts,
  char                *Name
  );

/// What decides an entry's place in the menu.
typedef struct {
  ZPP_TEXT        SortKey;
  ZPP_TEXT        MachineId;
  ZPP_TEXT        Version;
  ZPP_BLS_NAME    Name;
} ZPP_BLS_RANK;

/**
  Compares two entries, as section "Sorting" of the specification says.

  @param[in] A  One entry.
  @param[in] B  The other.

  @return Negative if A comes first, positive if B does, 0 if they are equal.
**/
int
ZppBlsCompare (
  const ZPP_BLS_RANK  *A,
  const ZPP_BLS_RANK  *B
  );

/**
  Compares two versions, as the Version Format Specification (UAPI.10) says.

  @param[in] A  One version.
  @param[in] B  The other.

  @return Negative if A is older, positive if B is, 0 if they are equal.
**/
int
ZppVersionCompare (
  ZPP_TEXT  A,
  ZPP_TEXT  B
  );

#endif
