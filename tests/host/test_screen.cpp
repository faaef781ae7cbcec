// screen: the font, the picture of a report read back letter by letter, and the shortened report.
// test_qr_code.py reads the QR codes with a decoder.
#include "screen/font.hpp"
#include "screen/report.hpp"
#include <doctest/doctest.h>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

using screen::Canvas;
using screen::glyph_height;
using screen::glyph_pixel;
using screen::glyph_width;

constexpr u32 untouched = 0xdeadbeef;

// A frame buffer whose lines are longer than the picture, between guards.
struct Screen {
    Screen(unsigned width, unsigned height, unsigned more = 24)
        : pixels(u64{width + more} * height + 2 * guard, untouched),
          canvas{pixels.data() + guard, width, height, width + more}
    {
    }

    u32 at(unsigned x, unsigned y) const { return pixels[guard + u64{y} * canvas.stride + x]; }

    unsigned touched_outside() const
    {
        unsigned count = 0;
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            const bool inside = i >= guard && i < pixels.size() - guard &&
                                (i - guard) % canvas.stride < canvas.width;
            count += !inside && pixels[i] != untouched;
        }
        return count;
    }

    // The lines of text, at this scale.
    std::vector<std::string> read(unsigned scale) const
    {
        std::vector<std::string> lines;
        const unsigned width = (glyph_width + 1) * scale, height = (glyph_height + 1) * scale;
        for (unsigned top = 0; top + height <= canvas.height; top += height) {
            std::string line;
            for (unsigned left = 0; left + width <= canvas.width; left += width)
                line += read_character(left, top + scale, scale);
            lines.push_back(line.substr(0, line.find_last_not_of(' ') + 1));
        }
        return lines;
    }

    static constexpr std::size_t guard = 4096;
    std::vector<u32> pixels;
    Canvas canvas;

private:
    char read_character(unsigned left, unsigned top, unsigned scale) const
    {
        for (char character = ' '; character <= '~'; ++character) {
            bool same = true;
            for (unsigned y = 0; y < glyph_height && same; ++y)
                for (unsigned x = 0; x < glyph_width && same; ++x)
                    same = glyph_pixel(character, x, y) ==
                           (at(left + x * scale, top + y * scale) == Canvas::white);
            if (same)
                return character;
        }
        return '\x7f';
    }
};

screen::Text text(const std::string& from)
{
    return {from.data(), static_cast<unsigned>(from.size())};
}

TEST_CASE("font: each character looks different")
{
    std::set<std::vector<bool>> seen;
    for (int character = ' '; character <= '~'; ++character) {
        std::vector<bool> pixels;
        for (unsigned y = 0; y < glyph_height; ++y)
            for (unsigned x = 0; x < glyph_width; ++x)
                pixels.push_back(glyph_pixel(static_cast<char>(character), x, y));
        CHECK(seen.insert(pixels).second);
    }
    for (const int other : {0, 10, 0x7f, 0x80, 0xff})
        for (unsigned y = 0; y < glyph_height; ++y)
            CHECK(glyph_pixel(static_cast<char>(other), 2, y) == glyph_pixel('?', 2, y));
}

const std::string report = "zpp: crash report of build 10e2540dd38f\n"
                           "zpp: CPU 0: exception 6 in the host, error code 0, cr2 0\n"
                           "zpp:   rip ffffa00000004ea4 (image + 4ea4) rsp ffffa0000007fdc0\n"
                           "zpp:   rax ffffa00000006b4c rbx 0 rcx ffffa000000019dc rdx 2\n"
                           "zpp:   rsi 668 rdi ffffa0000007fea0 rbp ffffa0000007fdc0 r8 a2\n"
                           "zpp:   r9 0 r10 0 r11 ffffa0000007fda0 r12 2\n"
                           "zpp:   r13 ffffa0000007fea0 r14 ffffa00000070000 r15 0\n"
                           "zpp:   called from 6b5f\n"
                           "zpp:   exit 1 (a) at rip 1\n"
                           "zpp:   exit 2 (b) at rip 2\n"
                           "zpp:   exit 3 (c) at rip 3\n"
                           "zpp:   exit 4 (d) at rip 4\n"
                           "zpp:   exit 114 (CPUID) at rip 1dfa857f\n"
                           "zpp: CPU 0 stopped\n";

TEST_CASE("screen: the whole report, in letters as large as the screen allows")
{
    struct {
        unsigned width, height, scale;
    } const cases[] = {
        {640, 480, 1}, {800, 600, 2}, {1280, 800, 3}, {1920, 1080, 5}, {3840, 2160, 11}};
    for (const auto& c : cases) {
        CAPTURE(c.width);
        Screen shown(c.width, c.height);
        screen::paint(shown.canvas, "Title", text(report), nullptr);
        CHECK(shown.touched_outside() == 0);
        const std::vector<std::string> lines = shown.read(c.scale);
        std::string all;
        for (const std::string& line : lines)
            all += line + "\n";
        CHECK(lines[1] == " crash report of build 10e2540dd38f");
        CHECK(all.find("exit 114 (CPUID) at rip 1dfa857f\n CPU 0 stopped") != std::string::npos);
        CHECK(all.find("(image + 4ea4)") != std::string::npos);
    }
}

TEST_CASE("screen: a long line is wrapped, and the text ends at the bottom")
{
    std::string long_report;
    for (unsigned i = 0; i < 300; ++i)
        long_report += "zpp: line " + std::to_string(i) + std::string(200, '-') + "\n";
    Screen shown(640, 480);
    screen::paint(shown.canvas, "Title", text(long_report), nullptr);
    CHECK(shown.touched_outside() == 0);
    const std::vector<std::string> lines = shown.read(1);
    CHECK(lines[1] == " line 0" + std::string(98, '-'));
    CHECK(lines[2] == "   " + std::string(102, '-'));
    CHECK(lines[3].find("line") == 1);
}

TEST_CASE("screen: any size")
{
    static screen::QrCode code;
    REQUIRE(code.encode(report.data(), static_cast<unsigned>(report.size())));
    for (const unsigned width : {0u, 1u, 7u, 100u, 250u, 263u, 640u})
        for (const unsigned height : {0u, 1u, 9u, 10u, 105u, 480u}) {
            Screen shown(width, height, 1);
            screen::paint(shown.canvas, "Title", text(report), &code);
            screen::paint(shown.canvas, "", text(""), nullptr);
            CHECK(shown.touched_outside() == 0);
        }
}

std::string shortened(const std::string& from, unsigned room)
{
    const auto to = std::make_unique<char[]>(room); // the sanitizer checks its end
    return {to.get(), screen::shorten(text(from), to.get(), room)};
}

TEST_CASE("shorten: what matters most first, then the registers")
{
    const std::string head = "zpp: crash report of build 10e2540dd38f\n"
                             "CPU 0: exception 6 in the host, error code 0, cr2 0\n"
                             "rip ffffa00000004ea4 (image + 4ea4) rsp ffffa0000007fdc0\n"
                             "called from 6b5f\n";
    const std::string exits = "exit 2 (b) at rip 2\nexit 3 (c) at rip 3\nexit 4 (d) at rip 4\n"
                              "exit 114 (CPUID) at rip 1dfa857f\n";
    const std::string registers = "rax ffffa00000006b4c rbx 0 rcx ffffa000000019dc rdx 2\n"
                                  "rsi 668 rdi ffffa0000007fea0 rbp ffffa0000007fdc0 r8 a2\n"
                                  "r9 0 r10 0 r11 ffffa0000007fda0 r12 2\n"
                                  "r13 ffffa0000007fea0 r14 ffffa00000070000 r15 0\n";
    CHECK(shortened(report, 666) == head + exits + "CPU 0 stopped\n" + registers);
    const std::string most = head + exits + "CPU 0 stopped\n";
    CHECK(shortened(report, static_cast<unsigned>(most.size())) == most);
    CHECK(shortened(report, 9).empty());
    CHECK(shortened(report, 40) == "zpp: crash report of build 10e2540dd38f\n");
    CHECK(shortened("", 666).empty());
}

TEST_CASE("QR code: what does not fit")
{
    static screen::QrCode code;
    const std::string bytes(screen::QrCode::max_bytes + 1, 'x');
    CHECK(code.encode(bytes.data(), screen::QrCode::max_bytes));
    CHECK(code.size() == 97);
    CHECK_FALSE(code.encode(bytes.data(), screen::QrCode::max_bytes + 1));
    CHECK(code.encode("", 0));
    CHECK(code.size() == 21);
}

} // namespace
} // namespace zpp::test
