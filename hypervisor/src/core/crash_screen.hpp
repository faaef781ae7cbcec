// The crash report on the screen: on the frame buffer that the firmware left, if the loader found one.
//
// The core does not follow what the OS does with the graphics adapter. It paints only while the
// adapter's PCI base address register still leads to that frame buffer, so it never writes to another
// device. If the OS's own driver has set another mode, the picture may be skewed or not visible.
#pragma once
#include "lib/types.hpp"

namespace zpp::crash_screen {

// At PREPARE: maps the frame buffer.
void prepare();

// The report begins with the next line of the log.
void begin_report();

// Paints the report. Once; then it does nothing.
void show();

} // namespace zpp::crash_screen
