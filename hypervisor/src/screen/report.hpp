// A crash report as a picture: the text in large letters, and beside it a QR code with the main lines.
#pragma once
#include "screen/canvas.hpp"
#include "screen/qr_code.hpp"

namespace zpp::screen {

struct Text {
    const char* start;
    unsigned size;
};

// Shortens a report to the lines that matter most, as many as fit into `room` bytes: what crashed and
// where, the last VM exits, and the registers. Whole lines, without "zpp: " and indentation, but for
// the first one; `zpp-image symbolize` reads them. Returns the number of bytes.
unsigned shorten(Text report, char* to, unsigned room);

// Paints a title and the report. `code` is nullptr for a report that does not fit into one.
void paint(Canvas& canvas, const char* title, Text report, const QrCode* code);

} // namespace zpp::screen
