// guest_code: the bytes at an instruction, through windows that keep their page but never its content.
#include "fake_windows.hpp"
#include "guest/code.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <vector>

namespace zpp::test {
namespace {

constexpr x86::Efer long_mode = x86::Efer::lma | x86::Efer::lme;
constexpr u64 present = bit(0);
constexpr unsigned pml5 = 1, pml4 = 2, pointers = 3, directory = 4, table = 5, code = 6, more = 7;

using Windows = std::vector<unsigned>;

// The addresses from 0 are those of `code`, then `more`.
class Guest {
public:
    Guest()
    {
        windows.entry(pml5, 0) = pml4 * page_size | present;
        windows.entry(pml4, 0) = pointers * page_size | present;
        windows.entry(pointers, 0) = directory * page_size | present;
        windows.entry(directory, 0) = table * page_size | present;
        windows.entry(table, 0) = code * page_size | present;
        windows.entry(table, 1) = more * page_size | present;
        for (unsigned i = 0; i < page_size; ++i) {
            windows.page(code)[i] = static_cast<u8>(i * 7);
            windows.page(more)[i] = static_cast<u8>(i * 5 + 1);
        }
    }

    GuestCode fetch(u64 linear) { return fetch_code(windows.vcpu(), paging, {linear}); }

    // Whether all bytes come, and are those of memory.
    bool is_right(u64 linear)
    {
        const GuestCode got = fetch(linear);
        std::vector<u8> expected;
        for (u64 at = linear; at < linear + max_instruction_length; ++at)
            expected.push_back(windows.page(at < page_size ? code : more)[at % page_size]);
        return got.count == max_instruction_length &&
               std::memcmp(got.bytes, expected.data(), got.count) == 0;
    }

    FakeWindows windows;
    GuestPaging paging{x86::Cr0::pg | x86::Cr0::pe, pml4* page_size, x86::Cr4::pae, long_mode};
};

TEST_CASE("guest code: anywhere on a page, and across two")
{
    Guest guest;
    for (u64 linear = 0; linear < 2 * page_size - max_instruction_length; ++linear)
        REQUIRE(guest.is_right(linear));
}

TEST_CASE("guest code: an operand, also across two pages")
{
    Guest guest;
    for (const u64 linear : {u64{8}, page_size - 3}) {
        u64 expected = 0;
        for (unsigned i = 0; i < 8; ++i) {
            const u64 at = linear + i;
            const u8 byte = guest.windows.page(at < page_size ? code : more)[at % page_size];
            expected |= u64{byte} << (8 * i);
        }
        const auto read = [&](unsigned size) {
            return read_linear(guest.windows.vcpu(), guest.paging, {linear}, size);
        };
        CHECK(read(8) == expected);
        CHECK(read(4) == (expected & 0xffffffff));
        CHECK(read(1) == (expected & 0xff));
    }
    CHECK_FALSE(read_linear(guest.windows.vcpu(), guest.paging, {2 * page_size - 2}, 4));
}

TEST_CASE("guest code: a window is remapped only for another page")
{
    Guest guest;
    CHECK(guest.is_right(0x123));
    CHECK(FakeWindows::take_remapped() == Windows{0, 1, 2, 3, 5});
    CHECK(guest.is_right(0x456));
    CHECK(FakeWindows::take_remapped().empty());
    CHECK(guest.is_right(page_size + 8));
    CHECK(FakeWindows::take_remapped() == Windows{5});

    guest.windows.entry(pml4, 1) = 8 * page_size | present; // another process
    std::memcpy(guest.windows.page(9), guest.windows.page(pml4), page_size);
    guest.paging.cr3 = 9 * page_size;
    CHECK(guest.is_right(page_size + 8));
    CHECK(FakeWindows::take_remapped() == Windows{0});
}

TEST_CASE("guest code: code and tables that have changed are read again")
{
    Guest guest;
    CHECK(guest.is_right(0x100));
    guest.windows.page(code)[0x105] ^= 0xff;
    CHECK(guest.is_right(0x100));
    guest.windows.entry(table, 0) = more * page_size | present;
    CHECK(guest.fetch(0x100).bytes[0] == guest.windows.page(more)[0x100]);
    guest.windows.entry(pointers, 0) = 0;
    CHECK(guest.fetch(0x100).count == 0);
}

TEST_CASE("guest code: with five levels, and without paging")
{
    Guest guest;
    guest.paging.cr4 |= x86::Cr4::la57;
    guest.paging.cr3 = pml5 * page_size;
    CHECK(guest.is_right(0x321));
    CHECK(FakeWindows::take_remapped() == Windows{0, 1, 2, 3, 4, 5});
    guest.paging.cr0 = x86::Cr0::pe;
    const GuestCode got = guest.fetch(code * page_size + 0x20);
    CHECK(got.count == max_instruction_length);
    CHECK(std::memcmp(got.bytes, guest.windows.page(code) + 0x20, got.count) == 0);
    CHECK(FakeWindows::take_remapped().empty()); // the code's window has that page
}

TEST_CASE("guest code: nothing of hidden pages, tables or code")
{
    for (const unsigned hidden : {pml4, pointers, directory, table, code}) {
        Guest guest;
        FakeWindows::hide(hidden);
        CHECK(guest.fetch(0x10).count == 0);
    }
    Guest guest;
    FakeWindows::hide(more);
    CHECK(guest.fetch(page_size - 4).count == 4);
    CHECK(guest.is_right(page_size - max_instruction_length));
}

TEST_CASE("guest code: page 0 is a page like others")
{
    Guest guest;
    std::memcpy(guest.windows.page(0), guest.windows.page(code), page_size);
    guest.windows.entry(table, 0) = present;
    CHECK(guest.is_right(0x40));
}

} // namespace
} // namespace zpp::test
