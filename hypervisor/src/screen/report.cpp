#include "screen/report.hpp"
#include "screen/font.hpp"
#include <initializer_list>

namespace zpp::screen {
namespace {

constexpr unsigned cell_width = glyph_width + 1, cell_height = glyph_height + 1;
constexpr unsigned columns_wanted = 58; // in the text's part of the screen
constexpr unsigned code_margin = 4;     // modules, by the standard

// ---- lines of a report

constexpr unsigned prefix_size = 5; // "zpp: "
constexpr unsigned exits_in_code = 4;

// The line at `at`, without its end.
Text line_at(Text report, unsigned at)
{
    unsigned size = 0;
    while (at + size < report.size && report.start[at + size] != '\n')
        ++size;
    return {report.start + at, size};
}

bool begins_with(Text line, const char* word)
{
    for (unsigned i = 0; word[i] != '\0'; ++i)
        if (i == line.size || line.start[i] != word[i])
            return false;
    return true;
}

Text without_prefix(Text line)
{
    if (!begins_with(line, "zpp: "))
        return line;
    unsigned start = prefix_size;
    while (start < line.size && line.start[start] == ' ')
        ++start;
    return {line.start + start, line.size - start};
}

bool is_exit(Text line) { return begins_with(line, "exit "); }

bool is_register(Text line)
{
    return begins_with(line, "rax ") || begins_with(line, "rsi ") || begins_with(line, "r9 ") ||
           begins_with(line, "r13 ");
}

template <class Use> void for_each_line(Text report, Use use)
{
    for (unsigned at = 0; at < report.size;) {
        const Text line = line_at(report, at);
        use(line);
        at += line.size + 1;
    }
}

// ---- the picture

// Text in a rectangle, from the top left corner.
class Writer {
public:
    Writer(Canvas& canvas, unsigned width, unsigned scale)
        : canvas_(canvas), columns_(width / (cell_width * scale)),
          rows_(canvas.height / (cell_height * scale)), scale_(scale)
    {
    }

    unsigned line_height() const { return cell_height * scale_; }

    // A line, and what does not fit into the width on lines below it.
    void write(Text line, u32 colour)
    {
        constexpr unsigned indentation = 3;
        unsigned column = 1;
        for (unsigned i = 0; i < line.size && row_ < rows_; ++i) {
            if (column + 1 >= columns_) {
                ++row_;
                column = indentation;
            }
            put(line.start[i], column++, colour);
        }
        ++row_;
    }

private:
    void put(char character, unsigned column, u32 colour)
    {
        for (unsigned y = 0; y < glyph_height; ++y)
            for (unsigned x = 0; x < glyph_width; ++x)
                if (glyph_pixel(character, x, y))
                    canvas_.fill((column * cell_width + x) * scale_,
                                 (row_ * cell_height + y + 1) * scale_, scale_, scale_, colour);
    }

    Canvas& canvas_;
    unsigned columns_, rows_, scale_;
    unsigned row_ = 0;
};

unsigned length(const char* text)
{
    unsigned count = 0;
    while (text[count] != '\0')
        ++count;
    return count;
}

// In the bottom right corner, in up to two fifths of the width. Returns the first column that it uses.
unsigned paint_code(Canvas& canvas, const QrCode& code)
{
    const unsigned modules = code.size() + 2 * code_margin;
    const unsigned room =
        canvas.width / 5 * 2 < canvas.height ? canvas.width / 5 * 2 : canvas.height;
    const unsigned scale = room / modules;
    if (scale == 0)
        return canvas.width;
    const unsigned left = canvas.width - modules * scale, top = canvas.height - modules * scale;
    canvas.fill(left, top, modules * scale, modules * scale, Canvas::white);
    for (unsigned y = 0; y < code.size(); ++y)
        for (unsigned x = 0; x < code.size(); ++x)
            if (code.is_dark(x, y))
                canvas.fill(left + (x + code_margin) * scale, top + (y + code_margin) * scale,
                            scale, scale, Canvas::black);
    return left;
}

} // namespace

unsigned shorten(Text report, char* to, unsigned room)
{
    unsigned exits = 0, used = 0;
    for_each_line(report, [&](Text line) { exits += is_exit(without_prefix(line)); });
    const auto append = [&](Text line) {
        if (line.size + 1 > room - used)
            return;
        for (unsigned i = 0; i < line.size; ++i)
            to[used++] = line.start[i];
        to[used++] = '\n';
    };
    for (const bool wants_registers : {false, true}) {
        unsigned exit = 0;
        for_each_line(report, [&](Text whole) {
            const Text line = used == 0 ? whole : without_prefix(whole);
            const bool is_old = is_exit(line) && ++exit + exits_in_code <= exits;
            if (is_register(line) == wants_registers && !is_old)
                append(line);
        });
    }
    return used;
}

void paint(Canvas& canvas, const char* title, Text report, const QrCode* code)
{
    canvas.fill(0, 0, canvas.width, canvas.height, Canvas::black);
    const unsigned width = code != nullptr ? paint_code(canvas, *code) : canvas.width;
    const unsigned scale = width / (cell_width * columns_wanted);
    Writer writer(canvas, width, scale != 0 ? scale : 1);
    canvas.fill(0, 0, width, writer.line_height() + 1, Canvas::grey);
    writer.write({title, length(title)}, Canvas::white);
    for_each_line(report, [&](Text line) { writer.write(without_prefix(line), Canvas::white); });
}

} // namespace zpp::screen
