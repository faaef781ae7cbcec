/** @file
  Reads zpp.conf.
**/
#include "Boot.h"
#include "Volume.h"

#include <Library/MemoryAllocationLib.h>
#include <Library/UefiLib.h>

VOID
ZppPrintConfError (
  IN VOID        *Context,
  IN unsigned    Line,
  IN CONST char  *Message,
  IN ZPP_TEXT    What
  )
{
  CHAR16  *Text;

  Text = ZppTextToString (What);
  Print (L"zpp: %s:%d: %a %s\n", ZPP_CONF_PATH, Line, Message, Text == NULL ? L"" : Text);
  if (Text != NULL) {
    FreePool (Text);
  }
}

VOID
ZppReadConf (
  IN  EFI_HANDLE     Device,
  OUT ZPP_CONF_FILE  *Conf
  )
{
  EFI_STATUS  Status;

  Conf->Text = NULL;
  Conf->Size = 0;
  Status     = ZppReadFile (Device, ZPP_CONF_PATH, ZPP_CONF_SIZE_MAX, (VOID **)&Conf->Text, &Conf->Size);
  if (EFI_ERROR (Status)) {
    Conf->Text = NULL;
    Conf->Size = 0;
    Print (L"zpp: cannot read %s: %r\n", ZPP_CONF_PATH, Status);
  }

  ZppConfParse (Conf->Text, Conf->Size, &Conf->Keys, ZppPrintConfError, NULL);
}
