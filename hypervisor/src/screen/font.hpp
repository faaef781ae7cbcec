// A small font for the crash report on the screen.
#pragma once
#include "lib/types.hpp"

namespace zpp::screen {

constexpr unsigned glyph_width = 5;
constexpr unsigned glyph_height = 8;

// Whether a pixel of a printable ASCII character is set; other characters are shown as '?'.
bool glyph_pixel(char character, unsigned x, unsigned y);

} // namespace zpp::screen
