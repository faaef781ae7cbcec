/** @file
  Files of the volume that ZppBoot was started from.
**/
#ifndef ZPP_BOOT_VOLUME_H_
#define ZPP_BOOT_VOLUME_H_

#include <Uefi.h>
#include <Protocol/SimpleFileSystem.h>

#include "Conf.h"

/**
  Opens a file for reading.

  @param[in]  Device  The volume's device.
  @param[in]  Path    The file's path.
  @param[out] File    The open file.
  @param[out] Size    Its size in bytes.

  @retval EFI_SUCCESS    The file is open.
  @retval EFI_NOT_FOUND  There is no such file, or it is a folder.
  @retval other          What the file system returned.
**/
EFI_STATUS
ZppOpenFile (
  IN  EFI_HANDLE         Device,
  IN  CONST CHAR16       *Path,
  OUT EFI_FILE_PROTOCOL  **File,
  OUT UINT64             *Size
  );

/**
  Reads a whole file with one read.

  @param[in]  Device   The volume's device.
  @param[in]  Path     The file's path.
  @param[in]  MaxSize  The most that the file may hold, in bytes.
  @param[out] Buffer   The content; the caller frees it with FreePool().
  @param[out] Size     Its size in bytes.

  @retval EFI_SUCCESS          The file was read.
  @retval EFI_BAD_BUFFER_SIZE  It is larger than MaxSize.
  @retval other                What the file system returned.
**/
EFI_STATUS
ZppReadFile (
  IN  EFI_HANDLE    Device,
  IN  CONST CHAR16  *Path,
  IN  UINT64        MaxSize,
  OUT VOID          **Buffer,
  OUT UINTN         *Size
  );

/**
  Makes a zero-terminated UTF-16 string of a piece of zpp.conf.

  @param[in] Text  The text, ASCII.

  @return The string, which the caller frees with FreePool(), or NULL without memory.
**/
CHAR16 *
ZppWiden (
  IN ZPP_TEXT  Text
  );

/**
  Makes a file's path of a piece of zpp.conf: as ZppWiden(), with '\' for '/'.

  @param[in] Text  The text, ASCII.

  @return The path, which the caller frees with FreePool(), or NULL without memory.
**/
CHAR16 *
ZppWidenPath (
  IN ZPP_TEXT  Text
  );

#endif
