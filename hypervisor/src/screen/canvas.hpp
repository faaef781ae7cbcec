// A linear frame buffer with 4 bytes for each pixel. Only greys are drawn, so that red and blue may be
// in either order.
#pragma once
#include "lib/types.hpp"

namespace zpp::screen {

struct Canvas {
    volatile u32* pixels;
    unsigned width, height;
    unsigned stride; // pixels from one line to the next

    static constexpr u32 black = 0x000000, white = 0xffffff, grey = 0x303030;

    // What is outside is not drawn.
    void fill(unsigned x, unsigned y, unsigned columns, unsigned rows, u32 colour)
    {
        for (unsigned j = y; j < y + rows && j < height; ++j)
            for (unsigned i = x; i < x + columns && i < width; ++i)
                pixels[u64{j} * stride + i] = colour;
    }
};

} // namespace zpp::screen
