// lib/memory: the core's memcpy, memset, memmove and memcmp, under other names.
#include <cstddef>
#include <cstring>
#include <doctest/doctest.h>
#include <numeric>
#include <string>
#include <vector>

#define memcpy core_memcpy
#define memset core_memset
#define memmove core_memmove
#define memcmp core_memcmp
#include "lib/memory.cpp"
#undef memcpy
#undef memset
#undef memmove
#undef memcmp

namespace zpp::test {
namespace {

std::vector<unsigned char> numbered(std::size_t size)
{
    std::vector<unsigned char> bytes(size);
    std::iota(bytes.begin(), bytes.end(), 1);
    return bytes;
}

TEST_CASE("memory: copies and fills, their ends exactly")
{
    for (std::size_t size = 0; size < 70; ++size) {
        const auto from = numbered(size);
        std::vector<unsigned char> to(size + 2, 0xee), filled(size + 2, 0xee);
        CHECK(core_memcpy(to.data() + 1, from.data(), size) == to.data() + 1);
        CHECK(std::vector(to.begin() + 1, to.end() - 1) == from);
        CHECK((to.front() == 0xee && to.back() == 0xee));
        CHECK(core_memset(filled.data() + 1, 0x1a5, size) == filled.data() + 1);
        CHECK(std::vector(filled.begin() + 1, filled.end() - 1) ==
              std::vector<unsigned char>(size, 0xa5));
        CHECK((filled.front() == 0xee && filled.back() == 0xee));
    }
}

TEST_CASE("memory: moves over themselves")
{
    for (std::size_t to = 0; to < 20; ++to)
        for (std::size_t from = 0; from < 20; ++from) {
            auto tested = numbered(50), expected = numbered(50);
            CHECK(core_memmove(tested.data() + to, tested.data() + from, 30) == tested.data() + to);
            std::memmove(expected.data() + to, expected.data() + from, 30);
            REQUIRE(tested == expected);
        }
}

TEST_CASE("memory: comparing bytes without sign")
{
    const auto compare = [](const std::string& a, const std::string& b) {
        return core_memcmp(a.data(), b.data(), a.size());
    };
    CHECK(compare("", "") == 0);
    CHECK(compare("abc", "abc") == 0);
    CHECK(compare("abc", "abd") < 0);
    CHECK(compare("abd", "abc") > 0);
    CHECK(compare("\x7f", "\x80") < 0);
    CHECK(compare("ab\xff", "ab\x01") > 0);
    CHECK(compare("ax", "by") < 0);
}

} // namespace
} // namespace zpp::test
