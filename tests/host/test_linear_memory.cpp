// guest/linear_memory: the CPU's own accesses by linear address, with the checks of paging (SDM Vol.
// 3A, ch. 5), through real windows.
#include "fake_windows.hpp"
#include "guest/linear_memory.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

using x86::Cr0;
using x86::Cr4;

constexpr u64 P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80;
constexpr u32 address = 0x00801234; // directory entry 2 (32-bit) or 4 (PAE), table entry 1
constexpr unsigned directory = 1, table = 2, data = 5;

struct Machine {
    FakeWindows windows;
    GuestPaging paging{Cr0::pe | Cr0::pg | Cr0::wp, directory* page_size, {}, {}};

    LinearMemory memory()
    {
        LinearMemory memory{windows.vcpu(), paging, 36};
        if (has(paging.cr4, Cr4::pae)) {
            memory.pdptes[0] = windows.entry(directory, 0);
            REQUIRE(memory.load_cr3(static_cast<u32>(paging.cr3)));
        }
        return memory;
    }
    u32& entry32(unsigned page, unsigned index)
    {
        return reinterpret_cast<u32*>(windows.page(page))[index];
    }
    void map(u64 directory_flags, u64 table_flags)
    {
        if (!has(paging.cr4, Cr4::pae)) {
            entry32(directory, 2) = static_cast<u32>(table * page_size | directory_flags);
            entry32(table, 1) = static_cast<u32>(data * page_size | table_flags);
            return;
        }
        windows.entry(directory, 0) = 3 * page_size | P;
        windows.entry(3, 4) = table * page_size | directory_flags;
        windows.entry(table, 1) = data * page_size | table_flags;
    }
};

const bool both_formats[] = {false, true};

TEST_CASE("linear memory: reads and writes, with the accessed and dirty flags")
{
    for (const bool pae : both_formats) {
        CAPTURE(pae);
        Machine machine;
        if (pae)
            machine.paging.cr4 = Cr4::pae;
        machine.map(P | W, P | W);
        LinearMemory memory = machine.memory();
        std::memcpy(machine.windows.page(data) + 0x234, "read", 4);
        char text[4];
        CHECK(memory.read(address, text, 4));
        CHECK(std::memcmp(text, "read", 4) == 0);
        const auto leaf = [&] {
            return pae ? machine.windows.entry(table, 1) : machine.entry32(table, 1);
        };
        const auto upper = [&] {
            return pae ? machine.windows.entry(3, 4) : machine.entry32(directory, 2);
        };
        CHECK(leaf() == (data * page_size | P | W | A));
        CHECK(upper() == (table * page_size | P | W | A));
        CHECK(memory.write(address, "note", 4));
        CHECK(std::memcmp(machine.windows.page(data) + 0x234, "note", 4) == 0);
        CHECK(leaf() == (data * page_size | P | W | A | D));
        CHECK(machine.windows.writable().empty());
    }
}

TEST_CASE("linear memory: faults")
{
    struct {
        const char* name;
        u64 directory_flags, table_flags;
        bool write, user;
        Cr0 cr0;
        Cr4 cr4;
        bool works;
        u32 code;
    } const cases[] = {
        {"no directory entry", 0, P | W, false, false, Cr0::wp, {}, false, 0},
        {"no table entry", P | W, 0, true, false, Cr0::wp, {}, false, 2},
        {"read-only", P | W, P, true, false, Cr0::wp, {}, false, 3},
        {"read-only directory", P, P | W, true, false, Cr0::wp, {}, false, 3},
        {"read-only without WP", P | W, P, true, false, {}, {}, true, 0},
        {"a user's write needs W without WP too", P | W | U, P | U, true, true, {}, {}, false, 7},
        {"a supervisor page from CPL 3", P | W, P | W | U, false, true, Cr0::wp, {}, false, 5},
        {"a user page from CPL 3", P | W | U, P | W | U, true, true, Cr0::wp, {}, true, 0},
        {"a user page from CPL 0", P | W | U, P | W | U, true, false, Cr0::wp, {}, true, 0},
        {"with SMAP", P | W | U, P | W | U, false, false, Cr0::wp, Cr4::smap, false, 1},
    };
    for (const bool pae : both_formats)
        for (const auto& c : cases) {
            INFO(std::string(c.name), pae);
            Machine machine;
            machine.paging.cr0 = Cr0::pe | Cr0::pg | c.cr0;
            machine.paging.cr4 = c.cr4 | (pae ? Cr4::pae : Cr4{});
            machine.map(c.directory_flags, c.table_flags);
            LinearMemory memory = machine.memory();
            memory.as_user(c.user);
            CHECK((c.write ? memory.can_write(address, 4) : memory.can_read(address, 4)) ==
                  c.works);
            if (!c.works) {
                CHECK(memory.fault().code == c.code);
                CHECK(memory.fault().address == address);
            }
        }
}

TEST_CASE("linear memory: large pages")
{
    Machine machine;
    machine.paging.cr4 = Cr4::pse;
    machine.entry32(directory, 2) = P | W | PS; // 4 MiB from 0
    LinearMemory memory = machine.memory();
    const u32 inside = 2u << 22 | (data * page_size + 8);
    CHECK(memory.write(inside, "four", 4));
    CHECK(std::memcmp(machine.windows.page(data) + 8, "four", 4) == 0);
    CHECK(machine.entry32(directory, 2) == (P | W | PS | A | D));
    machine.entry32(directory, 2) |= bit(21);
    CHECK_FALSE(memory.can_read(inside, 1));
    CHECK(memory.fault().code == 9);
    machine.entry32(directory, 2) = static_cast<u32>(P | W | PS | bit(17)); // address bit 36
    CHECK_FALSE(memory.can_read(inside, 1));

    Machine pae;
    pae.paging.cr4 = Cr4::pae;
    pae.windows.entry(directory, 0) = 3 * page_size | P;
    pae.windows.entry(3, 4) = P | W | PS; // 2 MiB from 0
    LinearMemory large = pae.memory();
    CHECK(large.write(4u << 21 | (data * page_size), "two", 3));
    CHECK(std::memcmp(pae.windows.page(data), "two", 3) == 0);
    for (const u64 reserved : {bit(13), bit(36), bit(63)}) {
        CAPTURE(reserved);
        pae.windows.entry(3, 4) = P | W | PS | reserved;
        CHECK_FALSE(large.can_read(4u << 21, 1));
        CHECK(large.fault().code == 9);
    }
}

TEST_CASE("linear memory: an access over two pages, and over the last of them")
{
    Machine machine;
    machine.map(P | W, P | W);
    machine.entry32(table, 2) = static_cast<u32>((data + 2) * page_size | P | W);
    LinearMemory memory = machine.memory();
    const u32 border = 0x00801ffe;
    CHECK(memory.write(border, "abcd", 4));
    CHECK(std::memcmp(machine.windows.page(data) + 0xffe, "ab", 2) == 0);
    CHECK(std::memcmp(machine.windows.page(data + 2), "cd", 2) == 0);
    machine.entry32(table, 2) = 0;
    CHECK_FALSE(memory.can_write(border, 4));
    CHECK(memory.fault().address == 0x00802000);
}

TEST_CASE("linear memory: hidden memory reads as 0 and keeps its content")
{
    Machine machine;
    machine.map(P | W, P | W);
    std::memcpy(machine.windows.page(data) + 0x234, "core", 4);
    machine.windows.hide(data);
    LinearMemory memory = machine.memory();
    u32 value = 1;
    CHECK(memory.read(address, &value, 4));
    CHECK(value == 0);
    CHECK(memory.write(address, "evil", 4));
    CHECK(std::memcmp(machine.windows.page(data) + 0x234, "core", 4) == 0);
    machine.windows.hide(table);
    CHECK_FALSE(memory.can_read(address, 4));
}

TEST_CASE("linear memory: a new CR3 with PAE paging loads the PDPTEs, without reserved bits")
{
    Machine machine;
    machine.paging.cr4 = Cr4::pae;
    machine.map(P | W, P | W);
    LinearMemory memory = machine.memory();
    machine.windows.entry(6, 4) = 3 * page_size | P; // the second set of four in that page
    CHECK(memory.load_cr3(6 * page_size + 32));
    CHECK(memory.can_read(address, 4));
    CHECK(memory.pdptes[0] == (3 * page_size | P));
    machine.windows.entry(6, 5) = P | W;
    CHECK_FALSE(memory.load_cr3(6 * page_size + 32));
}

TEST_CASE("linear memory: without paging")
{
    Machine machine;
    machine.paging.cr0 = Cr0::pe;
    LinearMemory memory = machine.memory();
    CHECK(memory.write(data * page_size + 4, "flat", 4));
    CHECK(std::memcmp(machine.windows.page(data) + 4, "flat", 4) == 0);
}

} // namespace
} // namespace zpp::test
