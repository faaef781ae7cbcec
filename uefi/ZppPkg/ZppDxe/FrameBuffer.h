/** @file
  The frame buffer on which the core paints its crash report.
**/
#ifndef ZPP_DXE_FRAME_BUFFER_H_
#define ZPP_DXE_FRAME_BUFFER_H_

#include <Uefi.h>

#include <zpp/boot_info.h>

/**
  Finds the firmware's linear frame buffer, and the PCI register that leads there.

  @param[out] Buffer  The frame buffer, or zeros if there is none that the core can use.
**/
VOID
ZppFindFrameBuffer (
  OUT struct zpp_frame_buffer  *Buffer
  );

#endif
