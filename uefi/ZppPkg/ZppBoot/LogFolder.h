/** @file
  The folder of saved logs, \EFI\zpp\logs: a bounded number of files, NNNNNNNN.txt, the oldest of
  which go first. Files with other names are not touched.
**/
#ifndef ZPP_BOOT_LOG_FOLDER_H_
#define ZPP_BOOT_LOG_FOLDER_H_

#include <Uefi.h>
#include <Protocol/SimpleFileSystem.h>

#define ZPP_LOG_FOLDER    L"\\EFI\\zpp\\logs"
#define ZPP_LOG_NAME_MAX  13 ///< "00000001.txt" and its zero.

/**
  Writes a new file to the folder, which it makes if necessary.

  @param[in]  Device  The volume's device.
  @param[in]  Text    The file's content.
  @param[in]  Size    Its size in bytes.
  @param[out] Name    The file's name.

  @retval EFI_SUCCESS      The file is written.
  @retval EFI_VOLUME_FULL  It would leave too little free space on the volume.
  @retval other            The file system's error; no part of a file stays.
**/
EFI_STATUS
ZppWriteLogFile (
  IN  EFI_HANDLE   Device,
  IN  CONST CHAR8  *Text,
  IN  UINTN        Size,
  OUT CHAR16       Name[ZPP_LOG_NAME_MAX]
  );

#endif
