// nested_paging with the format of EPT, against a walk and an oracle of their own.
#include "arena.hpp"
#include "ept_walk.hpp"
#include "fake_cpu.hpp"
#include "mtrr_oracle.hpp"
#include "paging/nested_paging.hpp"
#include "vmx/ept.hpp"
#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>

extern "C" {
#include "loader/layout.h"
}

namespace zpp::test {
namespace {

struct HiddenRange {
    u64 first, pages;
};

// A machine whose nested paging is built and judged.
class Subject {
public:
    Subject(unsigned bits, bool large, bool five, MtrrState state,
            std::vector<HiddenRange> hidden = {}, std::size_t limit = 100'000)
        : format_(vmx::ept::format(bits, 0, large, five)), state_(std::move(state)),
          hidden_(std::move(hidden))
    {
        Arena::reset(limit);
        paging_.set_format(format_);
        paging_.set_pages({Arena::allocate, Arena::physical_of, Arena::virtual_of});
        for (const HiddenRange& range : hidden_)
            REQUIRE(paging_.hide({range.first}, range.pages));
        use_msrs(state_.msrs());
        mtrrs_.refresh(true, read_msr);
    }

    bool build() { return paging_.build(mtrrs_); }

    bool update(const MtrrState& state)
    {
        state_ = state;
        use_msrs(state.msrs());
        mtrrs_.refresh(true, read_msr);
        return paging_.build(mtrrs_);
    }

    struct Verdict {
        u64 mapped = 0; // bytes
        u64 misconfigured = 0;
        u64 wrong_address = 0, wrong_type = 0, needlessly_uncacheable = 0; // pages looked at
        std::set<u64> scratch;                          // where hidden pages lead
        std::set<u64> hidden;                           // hidden pages found
        std::map<u64, u64> leaves;                      // by size
        std::map<std::pair<unsigned, u64>, u64> tables; // (level, base) -> where
    };

    // Looks at each mapping; at each of its pages below `all_below`, elsewhere at its first and
    // last page and at each page where a memory type or a hidden range begins or ends.
    Verdict judge(u64 all_below = 0) const
    {
        Verdict verdict;
        const std::vector<u64> edges = all_edges();
        EptWalk w{};
        w.levels = format_.levels;
        w.table_at = [](u64 physical) {
            return static_cast<const u64*>(Arena::virtual_of({physical}));
        };
        w.on_table = [&](unsigned level, u64 base, u64 physical) {
            verdict.tables[{level, base}] = physical;
        };
        w.on_leaf = [&](const EptLeaf& leaf) {
            verdict.wrong_address += leaf.base != verdict.mapped; // no hole before it
            verdict.mapped += leaf.size;
            ++verdict.leaves[leaf.size];
            const u64 end = leaf.base + leaf.size;
            if (leaf.base < all_below) {
                for (u64 page = leaf.base; page < end; page += page_size)
                    judge_page(leaf, page, verdict);
                return;
            }
            judge_page(leaf, leaf.base, verdict);
            judge_page(leaf, end - page_size, verdict);
            for (auto edge = std::lower_bound(edges.begin(), edges.end(), leaf.base);
                 edge != edges.end() && *edge < end; ++edge)
                judge_page(leaf, *edge, verdict);
        };
        walk(w, paging_.root().value);
        verdict.misconfigured = w.misconfigured;
        return verdict;
    }

    // Everything as it must be after a build that had the memory it needed.
    Verdict require_right(u64 all_below = 0) const
    {
        Verdict verdict = judge(all_below);
        CHECK(verdict.mapped == u64{1} << format_.address_bits);
        CHECK(verdict.misconfigured == 0);
        CHECK(verdict.wrong_address == 0);
        CHECK(verdict.wrong_type == 0);
        CHECK(verdict.needlessly_uncacheable == 0);
        u64 expected_hidden = 0;
        for (const HiddenRange& range : hidden_)
            expected_hidden += range.pages;
        CHECK(verdict.hidden.size() == expected_hidden);
        CHECK(verdict.scratch.size() == (expected_hidden != 0 ? 1 : 0));
        return verdict;
    }

    // The blocks of `size` bytes that cannot be one page: a type or a hidden range begins or ends
    // inside, or a fixed-range register has its say.
    std::set<u64> split_blocks(u64 size) const
    {
        std::set<u64> split;
        for (const u64 edge : state_.edges())
            if (edge % size != 0 && state_.type_at(edge) != state_.type_at(edge - page_size))
                split.insert(edge / size);
        if ((state_.msrs().at(0x2ff) & 0x400) != 0)
            split.insert(0);
        for (const HiddenRange& range : hidden_)
            for (u64 page = 0; page < range.pages; ++page)
                split.insert((range.first + page * page_size) / size);
        return split;
    }

    // No table where a larger page would do.
    void require_largest_pages(const Verdict& verdict) const
    {
        const u64 blocks_2m = split_blocks(2 * MiB).size();
        const bool large = format_.largest_leaf == 3;
        const u64 all = u64{1} << format_.address_bits;
        const u64 blocks_1g = large ? split_blocks(GiB).size() : all / GiB;
        const std::map<u64, u64> expected{{GiB, all / GiB - blocks_1g},
                                          {2 * MiB, 512 * blocks_1g - blocks_2m},
                                          {4 * KiB, 512 * blocks_2m}};
        for (const auto& [size, count] : expected) {
            CAPTURE(size);
            const auto found = verdict.leaves.find(size);
            CHECK((found != verdict.leaves.end() ? found->second : 0) == count);
        }
    }

private:
    bool is_hidden(u64 page) const
    {
        return std::any_of(hidden_.begin(), hidden_.end(), [&](const HiddenRange& range) {
            return page >= range.first && page < range.first + range.pages * page_size;
        });
    }

    void judge_page(const EptLeaf& leaf, u64 page, Verdict& verdict) const
    {
        if (is_hidden(page)) {
            verdict.hidden.insert(page);
            verdict.wrong_address += leaf.size != page_size || leaf.physical == leaf.base;
            verdict.scratch.insert(leaf.physical);
            return;
        }
        verdict.wrong_address += leaf.physical != leaf.base;
        if (const u8 right = state_.type_at(page); leaf.type != right)
            ++(leaf.type == UC ? verdict.needlessly_uncacheable : verdict.wrong_type);
    }

    std::vector<u64> all_edges() const
    {
        std::vector<u64> edges = state_.edges();
        for (const HiddenRange& range : hidden_) {
            edges.push_back(range.first);
            edges.push_back(range.first + range.pages * page_size);
        }
        for (std::size_t i = edges.size(); i-- > 0;)
            if (edges[i] != 0)
                edges.push_back(edges[i] - page_size);
        std::sort(edges.begin(), edges.end());
        edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
        return edges;
    }

    NestedPaging::Format format_;
    MtrrState state_;
    std::vector<HiddenRange> hidden_;
    Mtrrs mtrrs_;
    NestedPaging paging_;
};

// The registers as firmware leaves them below 1 MiB: graphics UC, option ROMs WP.
MtrrState with_legacy_area(MtrrState state)
{
    return state.with_fixed(WB)
        .with_fixed(0x259, 0)
        .with_fixed(0x268, 0x0505050505050505)
        .with_fixed(0x269, 0x0505050505050505);
}

struct Typical {
    const char* name;
    unsigned bits;
    bool large, five;
    MtrrState state;
    std::vector<HiddenRange> hidden;
    std::size_t pages; // what the tables and the scratch page take
};

const std::vector<Typical> typical = {
    {"an emulator, 4 GiB, 40 bits, no 1 GiB pages",
     40,
     false,
     false,
     with_legacy_area(MtrrState(WB, {{2 * GiB, 2 * GiB, UC}}, 40)),
     {{0x7e12'3000, 300}},
     1031},
    {"an emulator, 4 GiB, 40 bits",
     40,
     true,
     false,
     with_legacy_area(MtrrState(WB, {{2 * GiB, 2 * GiB, UC}}, 40)),
     {{0x7e12'3000, 300}},
     9},
    {"an old PC, 36 bits, no 1 GiB pages",
     36,
     false,
     false,
     with_legacy_area(MtrrState(
         UC,
         {{0, 4 * GiB, WB}, {0xc000'0000, GiB, UC}, {0xbf80'0000, 8 * MiB, UC}, {4 * GiB, GiB, WB}},
         36)),
     {{0xbe70'1000, 320}},
     70},
    {"a laptop, 39 bits",
     39,
     true,
     false,
     with_legacy_area(MtrrState(WB, {{2 * GiB, 2 * GiB, UC},
                                     {0x7c00'0000, 64 * MiB, UC},
                                     {0x7b80'0000, 8 * MiB, UC},
                                     {0x7b7f'f000, 4 * KiB, UC}})),
     {{0x7a9f'0000, 500}},
     9},
    {"a server, 46 bits",
     46,
     true,
     false,
     with_legacy_area(MtrrState(WB, {{2 * GiB, 2 * GiB, UC}, {56 * TiB, 8 * TiB, UC}}, 46)),
     {{0x6b00'0000, 5000}},
     143},
    {"52 bits, five levels",
     52,
     true,
     true,
     with_legacy_area(MtrrState(WB, {{2 * GiB, 2 * GiB, UC}, {2048 * TiB, 2048 * TiB, UC}}, 52)),
     {{0x6b00'0000, 5000}},
     8223},
    {"52 bits, four levels: 48 bits are mapped",
     52,
     true,
     false,
     with_legacy_area(MtrrState(WB, {{2 * GiB, 2 * GiB, UC}}, 52)),
     {{0x6b00'0000, 5000}},
     527},
};

TEST_CASE("nested paging: typical machines")
{
    for (const Typical& machine : typical) {
        INFO(std::string(machine.name));
        Subject subject(machine.bits, machine.large, machine.five, machine.state, machine.hidden);
        REQUIRE(subject.build());
        const auto verdict = subject.require_right(machine.bits <= 40 ? 2 * GiB : 16 * MiB);
        subject.require_largest_pages(verdict);
        CHECK(Arena::used() == machine.pages);
        fake_cpu = {};
        fake_cpu.physical_address_bits = machine.bits;
        fake_cpu.large_nested_pages = machine.large;
        CHECK(zpp_layout_of(std::make_unique<elf_header>().get(), 1).heap_pages >=
              Arena::used() + 32); // room for later splits, the MSR bitmaps
    }
}

TEST_CASE("nested paging: every width")
{
    for (unsigned bits = 32; bits <= 48; ++bits)
        for (const bool large : {false, true}) {
            if (!large && bits > 40)
                continue;
            CAPTURE(bits);
            CAPTURE(large);
            Subject subject(bits, large, false, MtrrState(WB, {{2 * GiB, 2 * GiB, UC}}, bits));
            REQUIRE(subject.build());
            subject.require_largest_pages(subject.require_right());
        }
}

TEST_CASE("nested paging: four or five levels")
{
    CHECK(vmx::ept::format(39, 0, true, true).levels == 4);
    CHECK(vmx::ept::format(48, 0, true, true).levels == 4);
    CHECK(vmx::ept::format(49, 0, true, true).levels == 5);
    CHECK(vmx::ept::format(52, 0, true, false).levels == 4);
    CHECK(vmx::ept::format(52, 0, true, false).address_bits == 48);
    // EPTP: WB (6), the number of levels less 1 in bits 5:3, no accessed and dirty flags.
    CHECK(vmx::ept::pointer({0x1234000}, 4) == 0x123401e);
    CHECK(vmx::ept::pointer({0x1234000}, 5) == 0x1234026);
}

TEST_CASE("nested paging: all types, and all off")
{
    for (const MtrrState& state :
         {MtrrState(UC), MtrrState(WB), MtrrState(WB).with_default(0x006),
          MtrrState(WB, {{0, GiB, WC}, {GiB, GiB, WT}, {2 * GiB, GiB, WP}, {3 * GiB, GiB, UC}}),
          with_legacy_area(
              MtrrState(UC, {{4 * KiB, 4 * KiB, WB}, {GiB - 4 * KiB, 4 * KiB, WT}}))}) {
        Subject subject(36, true, false, state);
        REQUIRE(subject.build());
        subject.require_right(2 * GiB);
    }
}

TEST_CASE("nested paging: hidden ranges lead to one scratch page")
{
    struct {
        const char* name;
        std::vector<HiddenRange> hidden;
    } const cases[] = {
        {"one page", {{0x1234'5000, 1}}},
        {"page 0", {{0, 1}}},
        {"below 1 MiB", {{0x9f000, 1}, {0xa0000, 32}}},
        {"over the end of the first MiB", {{0xff000, 2}}},
        {"over a 2 MiB boundary", {{0x3ff000, 2}}},
        {"over a 1 GiB boundary", {{GiB - 3 * page_size, 7}}},
        {"2 MiB exactly", {{0x4000'0000 + 2 * MiB, 512}}},
        {"more than 2 MiB, from the middle of one to the middle of another", {{0x5010'0000, 1500}}},
        {"where the type changes", {{2 * GiB - page_size, 2}}},
        {"side by side, out of order", {{0x2000'1000, 1}, {0x2000'0000, 1}, {0x2000'2000, 510}}},
        {"the last page", {{64 * GiB - page_size, 1}}},
        {"far apart", {{0x8000, 1}, {5 * GiB, 3}, {40 * GiB + 0x7000, 600}}},
    };
    for (const auto& c : cases)
        for (const bool large : {false, true}) {
            INFO(std::string(c.name));
            CAPTURE(large);
            Subject subject(36, large, false,
                            with_legacy_area(MtrrState(WB, {{2 * GiB, 2 * GiB, UC}}, 36)),
                            c.hidden);
            REQUIRE(subject.build());
            const auto verdict = subject.require_right();
            subject.require_largest_pages(verdict);
            // They stay hidden whatever becomes of the MTRRs.
            CHECK(subject.update(MtrrState(UC, {{0, GiB, WB}, {5 * GiB, 4 * KiB, WT}}, 36)));
            CHECK(subject.require_right().scratch == verdict.scratch);
        }
}

TEST_CASE("nested paging: 1 GiB of hidden memory")
{
    Subject subject(36, true, false, MtrrState(WB), {{3 * GiB, 262'144}});
    REQUIRE(subject.build());
    subject.require_right();
}

TEST_CASE("nested paging: 64 hidden ranges and no more")
{
    NestedPaging paging;
    for (unsigned i = 0; i < NestedPaging::max_hidden; ++i)
        CHECK(paging.hide({i * GiB}, 1));
    CHECK_FALSE(paging.hide({100 * GiB}, 1));
    static_assert(NestedPaging::max_hidden == ZPP_MEMORY_RANGES_MAX);
}

TEST_CASE("nested paging: after a change of the MTRRs tables are only added")
{
    std::mt19937_64 random(2);
    for (const bool large : {false, true}) {
        Subject subject(36, large, false, MtrrState(WB), {{0x1200'5000, 20}, {3 * GiB - 4096, 2}});
        REQUIRE(subject.build());
        auto before = subject.require_right();
        for (unsigned round = 0; round < 20; ++round) {
            constexpr u8 types[] = {UC, WC, WT, WP, WB};
            std::vector<VariableRange> ranges;
            for (unsigned i = 0; i < random() % 6; ++i) {
                const u64 size = (4 * KiB) << (random() % 21); // up to 4 GiB
                ranges.push_back({random() % (16 * GiB) & ~(size - 1), size, types[random() % 5]});
            }
            MtrrState state(types[random() % 5], ranges, 36);
            if (round % 3 == 0)
                state.with_fixed(types[random() % 5]);
            CAPTURE(round);
            CHECK(subject.update(state));
            auto after = subject.require_right(16 * MiB);
            for (const auto& [where, physical] : before.tables) {
                REQUIRE(after.tables.contains(where));
                REQUIRE(after.tables.at(where) == physical);
            }
            CHECK(after.scratch == before.scratch);
            before = after;
        }
        // The same MTRRs again cost nothing.
        const std::size_t used = Arena::used();
        CHECK(subject.update(MtrrState(WB)));
        CHECK(Arena::used() == used);
        subject.require_right();
    }
}

TEST_CASE("nested paging: too little memory for the first build")
{
    for (const bool large : {false, true}) {
        const MtrrState state =
            with_legacy_area(MtrrState(WB, {{GiB + 4 * KiB, 4 * KiB, UC}, {3 * GiB, GiB, UC}}, 36));
        const std::vector<HiddenRange> hidden{{0x7e12'3000, 600}};
        Subject enough(36, large, false, state, hidden);
        REQUIRE(enough.build());
        const std::size_t needed = Arena::used();
        for (std::size_t limit = 0; limit < needed; ++limit) {
            CAPTURE(limit);
            Subject subject(36, large, false, state, hidden, limit);
            CHECK_FALSE(subject.build());
        }
        Subject exact(36, large, false, state, hidden, needed);
        REQUIRE(exact.build());
        exact.require_right();
    }
}

// What cannot be split is uncacheable as a whole: slow, and right. Nothing gets lost.
TEST_CASE("nested paging: too little memory after a change of the MTRRs")
{
    const MtrrState start(WB, {{2 * GiB, 2 * GiB, UC}}, 36);
    const MtrrState changed = with_legacy_area(MtrrState(
        WB,
        {{GiB + 4 * KiB, 4 * KiB, UC}, {5 * GiB + 8 * KiB, 4 * KiB, WT}, {9 * GiB, 2 * MiB, WC}},
        36));
    for (const bool large : {false, true}) {
        const std::vector<HiddenRange> hidden{{0x3e12'3000, 600}};
        Subject enough(36, large, false, start, hidden);
        REQUIRE(enough.build());
        const std::size_t first = Arena::used();
        REQUIRE(enough.update(changed));
        const std::size_t all = Arena::used();
        REQUIRE(all > first + 2);
        for (std::size_t limit = first; limit < all; ++limit) {
            CAPTURE(large);
            CAPTURE(limit);
            Subject subject(36, large, false, start, hidden);
            REQUIRE(subject.build());
            Arena::set_limit(limit);
            CHECK_FALSE(subject.update(changed));
            const auto verdict = subject.judge();
            CHECK(verdict.mapped == 64 * GiB);
            CHECK(verdict.misconfigured == 0);
            CHECK(verdict.wrong_address == 0);
            CHECK(verdict.wrong_type == 0);
            CHECK(verdict.needlessly_uncacheable > 0);
            CHECK(verdict.hidden.size() == 600);
            // With memory again, and a new change, all is right again.
            Arena::set_limit(all);
            CHECK(subject.update(changed));
            subject.require_right();
        }
    }
}

} // namespace
} // namespace zpp::test
