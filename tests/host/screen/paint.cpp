// Writes what the core paints as a picture (PGM) to standard output, for an independent reader:
//   paint code              the QR code of the bytes on standard input
//   paint WIDTH HEIGHT      the screen with the crash report on standard input
#include "screen/report.hpp"
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

using namespace zpp;

namespace {

void write(const std::vector<u32>& pixels, unsigned width)
{
    std::printf("P5\n%u %zu\n255\n", width, pixels.size() / width);
    for (const u32 pixel : pixels)
        std::putchar(static_cast<int>(pixel & 0xff));
}

screen::QrCode code;

int paint_code(const std::string& data)
{
    constexpr unsigned scale = 3, margin = 4;
    if (!code.encode(data.data(), static_cast<unsigned>(data.size())))
        return EXIT_FAILURE;
    const unsigned side = (code.size() + 2 * margin) * scale;
    std::vector<u32> pixels(u64{side} * side, screen::Canvas::white);
    screen::Canvas canvas{pixels.data(), side, side, side};
    for (unsigned y = 0; y < code.size(); ++y)
        for (unsigned x = 0; x < code.size(); ++x)
            if (code.is_dark(x, y))
                canvas.fill((x + margin) * scale, (y + margin) * scale, scale, scale,
                            screen::Canvas::black);
    write(pixels, side);
    return EXIT_SUCCESS;
}

int paint_screen(const std::string& text, unsigned width, unsigned height)
{
    const screen::Text report{text.data(), static_cast<unsigned>(text.size())};
    char compact[screen::QrCode::max_bytes];
    const unsigned size = screen::shorten(report, compact, sizeof compact);
    const bool has_code = code.encode(compact, size);
    std::vector<u32> pixels(u64{width} * height);
    screen::Canvas canvas{pixels.data(), width, height, width};
    screen::paint(canvas, "zpp has crashed", report, has_code ? &code : nullptr);
    write(pixels, width);
    std::fwrite(compact, 1, size, stderr);
    return EXIT_SUCCESS;
}

} // namespace

int main(int count, char** arguments)
{
    const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
    if (count == 2 && std::string(arguments[1]) == "code")
        return paint_code(input);
    if (count == 3)
        return paint_screen(input, static_cast<unsigned>(std::atoi(arguments[1])),
                            static_cast<unsigned>(std::atoi(arguments[2])));
    return EXIT_FAILURE;
}
