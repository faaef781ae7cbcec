// Formats text such as "CPU {} at {x}" without a library and without allocating.
#pragma once
#include "lib/types.hpp"
#include <type_traits>

namespace zpp {

// An argument of format(): an integer or a zero-terminated string.
class FormatArgument {
public:
    template <class T>
        requires std::is_integral_v<T> || std::is_enum_v<T>
    constexpr FormatArgument(T value) : number_(static_cast<u64>(value))
    {
    }
    constexpr FormatArgument(const char* text) : text_(text) {}

    const char* text() const { return text_; }
    u64 number() const { return number_; }

private:
    const char* text_ = nullptr;
    u64 number_ = 0;
};

// Calls put(context, character) for each character. "{}": decimal or a string; "{x}": hexadecimal.
// A placeholder without an argument is printed as it is.
void format(void (*put)(void* context, char character), void* context, const char* pattern,
            const FormatArgument* arguments, std::size_t count);

} // namespace zpp
