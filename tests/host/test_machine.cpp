// machine: adopting boot_info, addresses in the core's own memory, the heap, the hidden ranges.
#include "core/machine.hpp"
#include "fake_core.hpp"
#include <doctest/doctest.h>
#include <functional>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

void* virtual_page(u64 page) { return reinterpret_cast<void*>(ZPP_CORE_BASE + page * page_size); }

// 100 pages in three pieces, not in the order of their addresses.
zpp_boot_info fragmented()
{
    zpp_boot_info info = boot_info();
    info.range_count = 3;
    info.ranges[0] = {0x1'4000'0000, 10};
    info.ranges[1] = {0x9f000, 1};
    info.ranges[2] = {0x7000'0000, 89};
    info.heap_page = 9;
    info.heap_pages = 3;
    info.cpu_blocks_page = 16;
    info.cpu_count = 5;
    info.calls_page = 96;
    info.total_pages = 100;
    return info;
}

TEST_CASE("machine: refuses a boot_info of another version")
{
    struct {
        const char* name;
        std::function<void(zpp_boot_info&)> change;
        bool adopted;
    } const cases[] = {
        {"as it is", [](auto&) {}, true},
        {"magic", [](auto& info) { ++info.magic; }, false},
        {"version", [](auto& info) { ++info.version; }, false},
        {"size", [](auto& info) { --info.size; }, false},
        {"no CPU", [](auto& info) { info.cpu_count = 0; }, false},
        {"64 ranges", [](auto& info) { info.range_count = 64; }, true},
        {"65 ranges", [](auto& info) { info.range_count = 65; }, false},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        zpp_boot_info info = boot_info();
        c.change(info);
        Machine tested;
        CHECK(tested.adopt(&info) == c.adopted);
    }
}

TEST_CASE("machine: between virtual and physical addresses, over all ranges")
{
    const zpp_boot_info info = fragmented();
    Machine tested;
    REQUIRE(tested.adopt(&info));
    u64 page = 0;
    for (u32 i = 0; i < info.range_count; ++i)
        for (u64 n = 0; n < info.ranges[i].pages; ++n, ++page) {
            const u64 physical = info.ranges[i].physical + n * page_size;
            CHECK(tested.physical_of(virtual_page(page)).value == physical);
            CHECK(tested.virtual_of({physical}) == virtual_page(page));
            const auto* last = static_cast<const char*>(virtual_page(page)) + 4095;
            CHECK(tested.physical_of(last).value == physical + 4095);
            CHECK(tested.virtual_of({physical + 4095}) == last);
        }
    for (const u64 foreign :
         {u64{0}, u64{0x9efff}, u64{0xa0000}, u64{0x1'3fff'ffff}, 0x1'4000'0000 + 10 * page_size,
          0x7000'0000 + 89 * page_size, ~u64{0}})
        CHECK(tested.virtual_of({foreign}) == nullptr);
}

TEST_CASE("machine: the heap, until it is used up")
{
    const zpp_boot_info info = fragmented();
    Machine tested;
    REQUIRE(tested.adopt(&info));
    for (u64 page = 9; page < 12; ++page)
        CHECK(tested.allocate_page() == virtual_page(page));
    CHECK(tested.allocate_page() == nullptr);
    CHECK(tested.allocate_page() == nullptr);
}

TEST_CASE("machine: the vCPUs' addresses")
{
    const zpp_boot_info info = fragmented();
    Machine tested;
    REQUIRE(tested.adopt(&info));
    for (u32 cpu = 0; cpu < info.cpu_count; ++cpu)
        CHECK(reinterpret_cast<u64>(&tested.vcpu(cpu)) ==
              ZPP_CORE_BASE + (16 + 16 * u64{cpu}) * page_size);
}

TEST_CASE("machine: hidden is all but the calls")
{
    using Pages = std::vector<std::pair<u64, u64>>;
    const auto hidden = [](u64 calls_page) {
        zpp_boot_info info = fragmented();
        info.calls_page = calls_page;
        Machine tested;
        REQUIRE(tested.adopt(&info));
        Pages pages;
        tested.for_each_hidden_range(
            [](void* to, Hpa first, u64 count) {
                static_cast<Pages*>(to)->emplace_back(first.value, count);
            },
            &pages);
        return pages;
    };
    CHECK(hidden(96) == Pages{{0x1'4000'0000, 10}, {0x9f000, 1}, {0x7000'0000, 85}});
    CHECK(hidden(11) == Pages{{0x1'4000'0000, 10}, {0x9f000, 1}});
    CHECK(hidden(10) == Pages{{0x1'4000'0000, 10}});
    CHECK(hidden(4) == Pages{{0x1'4000'0000, 4}});
}

TEST_CASE("machine: whether all memory is above 1 MiB")
{
    zpp_boot_info info = fragmented();
    Machine machine;
    REQUIRE(machine.adopt(&info));
    CHECK_FALSE(machine.is_above_1_mib());
    info.ranges[1].physical = 0x100000;
    CHECK(machine.is_above_1_mib());
    info.ranges[1].physical = 0xff000;
    CHECK_FALSE(machine.is_above_1_mib());
}

TEST_CASE("machine: commit")
{
    Machine tested;
    CHECK_FALSE(tested.committed());
    tested.commit();
    CHECK(tested.committed());
}

} // namespace
} // namespace zpp::test
