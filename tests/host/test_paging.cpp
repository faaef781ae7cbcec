// loader/layout and loader/paging: where things lie, how many tables they take, what an entry says.
#include "fake_cpu.hpp"
#include "page_walk.hpp"
#include "zpp/log_record.h"
#include <doctest/doctest.h>
#include <map>
#include <memory>
#include <set>
#include <string>

extern "C" {
#include "loader/layout.h"
#include "loader/paging.h"
}

namespace zpp::test {
namespace {

struct Machine {
    unsigned bits;
    bool large;
    u32 cpus;
};

const Machine machines[] = {
    {36, true, 1},    {36, false, 1},   {39, true, 4},     {39, true, 8},   {39, true, 9},
    {40, false, 2},   {46, true, 300},  {46, false, 128},  {48, true, 511}, {48, false, 4096},
    {52, true, 1024}, {52, true, 4096}, {52, true, 20000},
};

zpp_layout layout_of(const Machine& machine)
{
    fake_cpu = {};
    fake_cpu.physical_address_bits = machine.bits;
    fake_cpu.large_nested_pages = machine.large;
    const elf_header empty{};
    return zpp_layout_of(&empty, machine.cpus);
}

TEST_CASE("layout: parts in order, none over another")
{
    for (const Machine& machine : machines) {
        CAPTURE(machine.bits);
        CAPTURE(machine.large);
        CAPTURE(machine.cpus);
        const zpp_layout layout = layout_of(machine);
        CHECK(layout.boot_info_page >= layout.image_pages);
        CHECK(layout.log_page == layout.boot_info_page + 1);
        CHECK(layout.tables_page == layout.log_page + ZPP_LOG_PAGES);
        CHECK(layout.heap_page == layout.tables_page + layout.table_pages);
        CHECK(layout.cpu_blocks_page == layout.heap_page + layout.heap_pages);
        CHECK(layout.cpu_blocks_page * ZPP_PAGE_SIZE % ZPP_CPU_BLOCK_SIZE == 0);
        CHECK(layout.calls_page == layout.cpu_blocks_page + machine.cpus * ZPP_CPU_BLOCK_PAGES);
        const u64 calls_bytes = (layout.total_pages - layout.calls_page) * ZPP_PAGE_SIZE;
        CHECK(calls_bytes >= machine.cpus * sizeof(zpp_cpu_call));
    }
}

// Tables for a range of pages: one for each part of it that one table covers, at each level.
u64 tables_for(u64 first, u64 pages, unsigned levels)
{
    u64 count = 0;
    for (unsigned level = 1; level < levels; ++level) {
        const unsigned shift = 12 + 9 * level;
        count += ((first + pages * ZPP_PAGE_SIZE - 1) >> shift) - (first >> shift) + 1;
    }
    return count;
}

TEST_CASE("layout: enough tables, wherever the trampoline lies")
{
    for (const Machine& machine : machines)
        for (const unsigned levels : {4u, 5u}) {
            CAPTURE(machine.bits);
            CAPTURE(machine.large);
            CAPTURE(machine.cpus);
            CAPTURE(levels);
            const zpp_layout layout = layout_of(machine);
            const u64 worst_trampoline = 2 * (levels - 1);
            CHECK(layout.table_pages >=
                  1 + tables_for(ZPP_CORE_BASE, layout.total_pages, levels) + worst_trampoline);
        }
}

// Tables in memory of the test, at made-up physical addresses.
class Tables {
public:
    explicit Tables(unsigned levels, unsigned limit = 1000) : limit_(limit)
    {
        os_.context = this;
        os_.virtual_of = [](void* context, u64 physical) -> void* {
            return static_cast<Tables*>(context)->pages_.at(physical).get();
        };
        paging_.os = &os_;
        paging_.levels = levels;
        paging_.new_table = [](void* context) { return static_cast<Tables*>(context)->add(); };
        paging_.context = this;
        paging_.root = add();
    }
    Tables(const Tables&) = delete;
    Tables& operator=(const Tables&) = delete;

    bool map(u64 address, u64 physical, zpp_page_access access)
    {
        return zpp_paging_map(&paging_, address, physical, access) != 0;
    }
    std::optional<Mapping> find(u64 address) const
    {
        return translate(table_at(), paging_.root, paging_.levels, address);
    }
    std::map<u64, Mapping> all() const
    {
        return all_mappings(table_at(), paging_.root, paging_.levels);
    }
    std::size_t count() const { return pages_.size(); }

private:
    TableAt table_at() const
    {
        return [this](u64 physical) { return pages_.at(physical).get(); };
    }
    u64 add()
    {
        if (pages_.size() == limit_)
            return 0;
        next_ += 0x7'0000'5000; // anywhere up to 2^52
        pages_[next_] = std::make_unique<u64[]>(512);
        return next_;
    }

    unsigned limit_;
    u64 next_ = 0x1000;
    std::map<u64, std::unique_ptr<u64[]>> pages_;
    zpp_os os_{};
    zpp_paging paging_{};
};

TEST_CASE("paging: each kind of access")
{
    struct {
        zpp_page_access access;
        bool writable, executable;
    } const cases[] = {{ZPP_PAGE_READ, false, false},
                       {ZPP_PAGE_WRITE, true, false},
                       {ZPP_PAGE_EXECUTE, false, true}};
    for (const unsigned levels : {4u, 5u})
        for (const auto& c : cases) {
            Tables tables(levels);
            REQUIRE(tables.map(ZPP_CORE_BASE, 0x12'3456'7000, c.access));
            const auto mapping = tables.find(ZPP_CORE_BASE);
            REQUIRE(mapping.has_value());
            CHECK(mapping->physical == 0x12'3456'7000);
            CHECK(mapping->writable == c.writable);
            CHECK(mapping->executable == c.executable);
            CHECK_FALSE(mapping->user);
        }
}

TEST_CASE("paging: one table for what one table covers")
{
    for (const unsigned levels : {4u, 5u}) {
        Tables tables(levels);
        for (u64 page = 0; page < 512; ++page)
            REQUIRE(tables.map(ZPP_CORE_BASE + page * 4096, page * 4096, ZPP_PAGE_WRITE));
        CHECK(tables.count() == levels);
        REQUIRE(tables.map(ZPP_CORE_BASE + 512 * 4096, 512 * 4096, ZPP_PAGE_WRITE));
        CHECK(tables.count() == levels + 1);
        CHECK(tables.all().size() == 513);
        for (const auto& [address, mapping] : tables.all())
            CHECK(mapping.physical == address - ZPP_CORE_BASE);
    }
}

TEST_CASE("paging: addresses far apart, up to 52 bits physical")
{
    const std::map<u64, u64> pages{
        {0, 0xffffffffff000},         {0x1000, 0},
        {0x7fffffffe000, 0x1000},     {0x7ffff000, 0x8000000000000},
        {0xffff800000000000, 0x2000}, {ZPP_CORE_BASE, 0x3000},
        {0xfffffffffffff000, 0x4000}, {0x5555'5555'5000, 0x5000},
    };
    for (const unsigned levels : {4u, 5u}) {
        Tables tables(levels);
        for (const auto& [address, physical] : pages)
            REQUIRE(tables.map(address, physical, ZPP_PAGE_READ));
        const auto found = tables.all();
        CHECK(found.size() == pages.size());
        for (const auto& [address, physical] : pages) {
            CAPTURE(address);
            REQUIRE(tables.find(address).has_value());
            CHECK(tables.find(address)->physical == physical);
            CHECK(found.contains(address));
        }
        CHECK_FALSE(tables.find(0x2000).has_value());
        CHECK_FALSE(tables.find(ZPP_CORE_BASE + 0x1000).has_value());
    }
}

TEST_CASE("paging: the core's own place is PML4 entry 320, PML5 entry 511")
{
    CHECK((ZPP_CORE_BASE >> 39 & 511) == 320);
    CHECK((ZPP_CORE_BASE >> 48 & 511) == 511);
    CHECK((ZPP_CORE_BASE >> 47) == 0x1ffff); // canonical
}

TEST_CASE("paging: no memory for a table")
{
    for (const unsigned levels : {4u, 5u})
        for (unsigned limit = 1; limit <= levels; ++limit) {
            Tables tables(levels, limit);
            CHECK(tables.map(ZPP_CORE_BASE, 0x1000, ZPP_PAGE_READ) == (limit == levels));
            CHECK(tables.find(ZPP_CORE_BASE).has_value() == (limit == levels));
        }
}

} // namespace
} // namespace zpp::test
