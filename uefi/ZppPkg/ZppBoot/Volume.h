/** @file
  Files on the volume that ZppBoot was started from.
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
  @retval EFI_NOT_FOUND  There is no such file, or it is a directory.
  @retval other          The file system's error.
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
  @param[in]  MaxSize  The largest size allowed, in bytes.
  @param[out] Buffer   The content; the caller frees it with FreePool().
  @param[out] Size     Its size in bytes.

  @retval EFI_SUCCESS          The file was read.
  @retval EFI_BAD_BUFFER_SIZE  The file is larger than MaxSize.
  @retval other                The file system's error.
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
  Opens a folder.

  @param[in]  Device  The volume's device.
  @param[in]  Path    The folder's path.
  @param[out] Folder  The open folder.

  @retval EFI_SUCCESS  The folder is open.
  @retval other        The file system's error.
**/
EFI_STATUS
ZppOpenFolder (
  IN  EFI_HANDLE         Device,
  IN  CONST CHAR16       *Path,
  OUT EFI_FILE_PROTOCOL  **Folder
  );

/**
  Converts a text to a zero-terminated UTF-16 string.

  @param[in] Text  The text, UTF-8.

  @return The string, which the caller frees with FreePool(), or NULL if there is not enough memory.
**/
CHAR16 *
ZppTextToString (
  IN ZPP_TEXT  Text
  );

/**
  Converts a text to a path: as ZppTextToString(), with '\' for '/' and at the start.

  @param[in] Text  The text, UTF-8.

  @return The path, which the caller frees with FreePool(), or NULL if there is not enough memory.
**/
CHAR16 *
ZppTextToPath (
  IN ZPP_TEXT  Text
  );

#endif
