// lib/format: placeholders, numbers and text.
#include "lib/format.hpp"
#include <doctest/doctest.h>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

std::string text_of(const char* pattern, const std::vector<FormatArgument>& arguments = {})
{
    std::string text;
    const auto put = [](void* to, char character) {
        static_cast<std::string*>(to)->push_back(character);
    };
    format(put, &text, pattern, arguments.data(), arguments.size());
    return text;
}

enum class Color : u32 { red = 7 };

struct Case {
    const char* pattern;
    std::vector<FormatArgument> arguments;
    const char* text;
};

const std::vector<Case> cases = {
    {"", {}, ""},
    {"plain", {}, "plain"},
    {"{}", {0}, "0"},
    {"{}", {1}, "1"},
    {"{}", {10}, "10"},
    {"{}", {u64{18446744073709551615u}}, "18446744073709551615"},
    {"{x}", {0}, "0"},
    {"{x}", {0xabcdef}, "abcdef"},
    {"{x}", {~u64{0}}, "ffffffffffffffff"},
    {"{}", {true}, "1"},
    {"{}", {Color::red}, "7"},
    {"{}", {u8{65}}, "65"},
    {"{}", {"text"}, "text"},
    {"{x}", {"text"}, "text"},
    {"{}", {""}, ""},
    {"CPU {} (APIC ID {}) at {x}", {3, 12u, 0xfffffff0u}, "CPU 3 (APIC ID 12) at fffffff0"},
    {"{}{}{x}", {1, "two", 3}, "1two3"},
    {"{} {}", {1}, "1 {}"}, // an argument too few
    {"{}", {1, 2}, "1"},    // one too many
    {"{", {1}, "{"},        // not placeholders
    {"{x", {1}, "{x"},
    {"{y}", {1}, "{y}"},
    {"{ }", {1}, "{ }"},
    {"}", {1}, "}"},
    {"{{}", {5}, "{5"},
    {"{}}", {5}, "5}"},
    {"{X}", {10}, "{X}"},
};

TEST_CASE("format: placeholders")
{
    for (const Case& c : cases) {
        INFO(std::string(c.pattern));
        CHECK(text_of(c.pattern, c.arguments) == c.text);
    }
}

TEST_CASE("format: an argument's braces are text") { CHECK(text_of("{} {}", {"{}", 1}) == "{} 1"); }

} // namespace
} // namespace zpp::test
