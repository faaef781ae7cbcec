#include "lib/format.hpp"

namespace zpp {
namespace {

struct Output {
    void (*put)(void*, char);
    void* context;

    void text(const char* text) const
    {
        for (; *text; ++text)
            put(context, *text);
    }

    void number(u64 value, unsigned base) const
    {
        char digits[20]; // the longest: 2^64 - 1 in decimal
        unsigned count = 0;
        do {
            digits[count++] = "0123456789abcdef"[value % base];
            value /= base;
        } while (value != 0);
        while (count != 0)
            put(context, digits[--count]);
    }

    void argument(const FormatArgument& argument, bool hexadecimal) const
    {
        if (argument.text() != nullptr)
            text(argument.text());
        else
            number(argument.number(), hexadecimal ? 16 : 10);
    }
};

// Length of the placeholder at `at`, or 0.
unsigned placeholder(const char* at)
{
    if (at[0] != '{')
        return 0;
    if (at[1] == '}')
        return 2;
    return at[1] == 'x' && at[2] == '}' ? 3 : 0;
}

} // namespace

void format(void (*put)(void*, char), void* context, const char* pattern,
            const FormatArgument* arguments, std::size_t count)
{
    const Output output{put, context};
    std::size_t next = 0;
    while (*pattern != '\0') {
        const unsigned length = placeholder(pattern);
        if (length == 0 || next == count) {
            put(context, *pattern++);
            continue;
        }
        output.argument(arguments[next++], length == 3);
        pattern += length;
    }
}

} // namespace zpp
