/** @file
  Chooses what starts: the default, or what the user picks in the menu.
**/
#include "Boot.h"
#include "Keys.h"
#include "Menu.h"

#include <Library/BaseMemoryLib.h>
#include <Library/UefiBootServicesTableLib.h>
#include <Library/UefiLib.h>

#include <loader/cpu.h>

#define KEY_POLL  (5 * 1000) ///< In microseconds.

VOID
ZppReadWish (
  IN OUT ZPP_BOOT  *Boot
  )
{
  ZppReadBoots (Boot->Conf.Keys.BootTries, &Boot->Boots);
  Boot->Wish.Failed = Boot->Boots.Failed;
  Boot->Wish.Tries  = Boot->Boots.Tries;
  if (zpp_cpu_is_held ()) {
    ZppSetWish (&Boot->Wish, ZppWishRuns);
  } else if (!Boot->Conf.Keys.Hypervisor) {
    ZppSetWish (&Boot->Wish, ZppWishOffByConf);
  } else if (ZppTooManyFailed (&Boot->Boots)) {
    ZppSetWish (&Boot->Wish, ZppWishOffByBoots);
  } else {
    ZppSetWish (&Boot->Wish, ZppWishOn);
  }
}

/**
  Lists what can be booted, and picks the default.

  @param[in,out] Boot           The boot.
  @param[in]     LoaderEntries  Whether loader entries are needed if "default" is a section.
**/
STATIC
VOID
ListEntries (
  IN OUT ZPP_BOOT  *Boot,
  IN     BOOLEAN   LoaderEntries
  )
{
  ZPP_TEXT  Default;

  Default = Boot->Conf.Keys.Default;
  ZppFreeEntries (&Boot->Entries);
  ZppAddSections (&Boot->Entries, Boot->Conf.Text, Boot->Conf.Size);
  if (LoaderEntries || ((Default.Start != NULL) && (ZppFindEntry (&Boot->Entries, Default) == NULL))) {
    ZppAddLoaderEntries (&Boot->Entries, Boot->Device);
  }

  ZppAddNextOption (&Boot->Entries);
  Boot->Entry = Default.Start == NULL ? NULL : ZppFindEntry (&Boot->Entries, Default);
  if ((Boot->Entry == NULL) && (Boot->Entries.Count > 0)) {
    Boot->Entry = &Boot->Entries.Items[Boot->Entries.Count - 1];
  }
}

/**
  Reports a "default" that names nothing.

  @param[in] Boot  The boot; its entries are listed.
**/
STATIC
VOID
CheckDefault (
  IN CONST ZPP_BOOT  *Boot
  )
{
  CONST ZPP_CONF  *Keys;

  Keys = &Boot->Conf.Keys;
  if ((Keys->Default.Start != NULL) && (ZppFindEntry (&Boot->Entries, Keys->Default) == NULL)) {
    ZppPrintConfError (NULL, Keys->DefaultLine, "default matches neither a section with a path nor a loader entry:", Keys->Default);
  }
}

/**
  Loads the program of the chosen entry.

  @param[in,out] Boot  The boot.

  @retval TRUE   It is loaded, or is the firmware's next boot option.
  @retval FALSE  It is not; the reason has been printed.
**/
STATIC
BOOLEAN
Load (
  IN OUT ZPP_BOOT  *Boot
  )
{
  if ((Boot->Program != NULL) || (Boot->Entry == NULL) || (Boot->Entry->Path == NULL)) {
    return TRUE;
  }

  if (!EFI_ERROR (ZppLoadEntry (Boot->ImageHandle, Boot->Device, Boot->Entry, &Boot->Program))) {
    return TRUE;
  }

  Boot->Program = NULL;
  return FALSE;
}

/**
  Waits for a key until the time for it is over.

  @param[in] Boot  The boot.

  @return What the key asks for.
**/
STATIC
ZPP_START
WaitForStartKey (
  IN CONST ZPP_BOOT  *Boot
  )
{
  ZPP_START  Start;

  do {
    Start = ZppReadStartKey ();
    if ((Start != ZppStartNormal) || (Boot->KeyTime == NULL) || !EFI_ERROR (gBS->CheckEvent (Boot->KeyTime))) {
      return Start;
    }

    gBS->Stall (KEY_POLL);
  } while (TRUE);
}

/**
  Lets the user choose.

  @param[in,out] Boot  The boot; gets the entry and the wish.
**/
STATIC
VOID
Choose (
  IN OUT ZPP_BOOT  *Boot
  )
{
  ZPP_MENU       Menu;
  EFI_INPUT_KEY  Key;
  BOOLEAN        IsListed;

  if (Boot->Program != NULL) {
    gBS->UnloadImage (Boot->Program);
    Boot->Program = NULL;
  }

  IsListed = Boot->Entries.Count != 0;
  ListEntries (Boot, TRUE);
  if (!IsListed) {
    CheckDefault (Boot);
  }

  ZeroMem (&Menu, sizeof (Menu));
  Menu.ImageHandle = Boot->ImageHandle;
  Menu.Device      = Boot->Device;
  Menu.Entries     = &Boot->Entries;
  Menu.Selected    = Boot->Entry;
  CopyMem (&Menu.Wish, &Boot->Wish, sizeof (Menu.Wish));
  Menu.Timeout     = Boot->Conf.Keys.MenuTimeout;
  while (Boot->Entry != NULL) {
    if (!EFI_ERROR (ZppRunMenu (&Menu))) {
      Boot->Entry = Menu.Selected;
      CopyMem (&Boot->Wish, &Menu.Wish, sizeof (Boot->Wish));
    }

    if (Load (Boot) || !Menu.WasKey) {
      break;
    }

    Print (L"Press a key to return to the menu\n");
    ZppWaitForKey (0);
    while (ZppReadKey (&Key)) {
    }

    Menu.Timeout = 0;
  }
}

VOID
ZppDecide (
  IN OUT ZPP_BOOT  *Boot
  )
{
  ZPP_START  Start;

  Start = ZppReadStartKey ();
  if ((Start == ZppStartNormal) && (Boot->Conf.Keys.MenuTimeout > 0)) {
    Start = ZppStartMenu;
  }

  if (Start != ZppStartMenu) {
    ListEntries (Boot, FALSE);
    CheckDefault (Boot);
    // Before the launch: an emulator has already translated the firmware's file-reading code for
    // bare CPUs, and would translate it again for guests.
    Load (Boot);
  }

  if (Start == ZppStartNormal) {
    Start = WaitForStartKey (Boot);
  }

  if (Start == ZppStartMenu) {
    Choose (Boot);
  } else if ((Start == ZppStartWithoutHypervisor) && (Boot->Wish.Kind == ZppWishOn)) {
    ZppSetWish (&Boot->Wish, ZppWishOffByKey);
  }
}
