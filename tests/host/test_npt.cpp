// nested_paging with the format of NPT, over the whole address space, against a walk of its own.
#include "arena.hpp"
#include "mtrr_oracle.hpp"
#include "npt_walk.hpp"
#include "paging/nested_paging.hpp"
#include "svm/npt.hpp"
#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

namespace zpp::test {
namespace {

struct Hidden {
    u64 first, pages;
};

struct Setup {
    unsigned bits = 40;
    bool large = true;
    unsigned levels = 4;
    std::optional<u64> protect = 0xfee00000;
    std::vector<Hidden> hidden = {};
    MtrrState state = MtrrState(WB, {{2 * GiB, 2 * GiB, UC}});
};

// A machine whose nested paging is built and judged.
class Subject {
public:
    explicit Subject(const Setup& setup, std::size_t limit = 100'000)
        : setup_(setup),
          format_(svm::npt::format(setup.bits, setup.bits, setup.large, setup.levels))
    {
        Arena::reset(limit);
        paging_.set_format(format_);
        paging_.set_pages({Arena::allocate, Arena::physical_of, Arena::virtual_of});
        for (const Hidden& range : setup.hidden)
            REQUIRE(paging_.hide({range.first}, range.pages));
        if (setup.protect)
            paging_.protect({*setup.protect});
    }

    bool build() { return update(setup_.state); }

    bool update(const MtrrState& state)
    {
        use_msrs(state.msrs());
        mtrrs_.refresh(true, read_msr);
        return paging_.build(mtrrs_);
    }

    void allow_writes(bool allowed)
    {
        writes_allowed_ = allowed;
        paging_.allow_writes(allowed);
    }

    struct Verdict {
        u64 mapped = 0, malformed = 0, wrong = 0;
        std::set<u64> read_only, scratch, hidden; // pages
        std::map<u64, u64> leaves;                // by size
    };

    Verdict judge() const { return judge(paging_.root()); }

    std::optional<Hpa> build_open_root() const { return paging_.build_open_root(); }

    Verdict judge(Hpa root) const
    {
        Verdict verdict;
        NptWalk w{};
        w.levels = setup_.levels;
        w.table_at = [](u64 physical) {
            return static_cast<const u64*>(Arena::virtual_of({physical}));
        };
        w.on_leaf = [&](const NptLeaf& leaf) {
            verdict.wrong += leaf.base != verdict.mapped; // no hole before it
            verdict.mapped += leaf.size;
            ++verdict.leaves[leaf.size];
            judge_leaf(leaf, verdict);
        };
        walk(w, root.value);
        verdict.malformed = w.malformed;
        return verdict;
    }

    Verdict require_right() const
    {
        const Verdict verdict = judge();
        CHECK(verdict.mapped == u64{1} << mapped_bits());
        CHECK(verdict.malformed == 0);
        CHECK(verdict.wrong == 0);
        CHECK(verdict.read_only == (setup_.protect && !writes_allowed_
                                        ? std::set<u64>{*setup_.protect}
                                        : std::set<u64>{}));
        u64 expected_hidden = 0;
        for (const Hidden& range : setup_.hidden)
            expected_hidden += range.pages;
        CHECK(verdict.hidden.size() == expected_hidden);
        CHECK(verdict.scratch.size() == (expected_hidden != 0 ? 1 : 0));
        CHECK(verdict.leaves.rbegin()->first <= (setup_.large ? GiB : 2 * MiB));
        return verdict;
    }

private:
    unsigned mapped_bits() const { return std::min(setup_.bits, setup_.levels == 5 ? 57u : 48u); }

    bool hides(const NptLeaf& leaf) const
    {
        return std::any_of(setup_.hidden.begin(), setup_.hidden.end(), [&](const Hidden& range) {
            return range.first < leaf.base + leaf.size &&
                   leaf.base < range.first + range.pages * page_size;
        });
    }

    void judge_leaf(const NptLeaf& leaf, Verdict& verdict) const
    {
        if (!leaf.writable) {
            verdict.read_only.insert(leaf.base);
            verdict.wrong += leaf.size != page_size;
        }
        if (!hides(leaf)) {
            verdict.wrong += leaf.physical != leaf.base;
            return;
        }
        verdict.wrong += leaf.size != page_size || leaf.physical == leaf.base;
        verdict.hidden.insert(leaf.base);
        verdict.scratch.insert(leaf.physical);
    }

    Setup setup_;
    bool writes_allowed_ = false;
    NestedPaging::Format format_;
    Mtrrs mtrrs_;
    NestedPaging paging_;
};

TEST_CASE("NPT: every width, four and five levels")
{
    for (unsigned bits = 32; bits <= 52; ++bits)
        for (const unsigned levels : {4u, 5u})
            for (const bool large : {false, true}) {
                if ((!large && bits > 40) || (levels == 5 && bits < 45) || bits % 2 != 0)
                    continue;
                CAPTURE(bits);
                CAPTURE(levels);
                CAPTURE(large);
                Subject subject({.bits = bits,
                                 .large = large,
                                 .levels = levels,
                                 .hidden = {{0x7e12'3000, 300}},
                                 .state = MtrrState(WB, {{2 * GiB, 2 * GiB, UC}}, bits)});
                REQUIRE(subject.build());
                subject.require_right();
            }
}

TEST_CASE("NPT: the protected page is split off alone")
{
    for (const u64 page : {u64{0xfee00000}, u64{0}, u64{0xfffff000}, u64{0x8020'0000 - page_size},
                           u64{0x8020'0000}, 64 * GiB - page_size})
        for (const bool large : {false, true}) {
            CAPTURE(page);
            CAPTURE(large);
            Subject subject({.bits = 36, .large = large, .protect = page, .state = MtrrState(WB)});
            REQUIRE(subject.build());
            const auto verdict = subject.require_right();
            const std::map<u64, u64> with_1g{{GiB, 63}, {2 * MiB, 511}, {4 * KiB, 512}};
            const std::map<u64, u64> without{{2 * MiB, 64 * 512 - 1}, {4 * KiB, 512}};
            CHECK(verdict.leaves == (large ? with_1g : without));
        }
}

TEST_CASE("NPT: the protected page is writable for a while, whatever happens to the MTRRs")
{
    for (const unsigned levels : {4u, 5u}) {
        Subject subject({.bits = 48, .levels = levels});
        REQUIRE(subject.build());
        const auto leaves = subject.require_right().leaves;
        for (const bool allowed : {true, false, true, true, false}) {
            subject.allow_writes(allowed);
            CHECK(subject.require_right().leaves == leaves); // it stays split off
            REQUIRE(subject.update(MtrrState(WB, {{GiB, GiB, UC}})));
            subject.require_right();
        }
    }
}

TEST_CASE("NPT: with the other root only the protected page is writable")
{
    for (const unsigned levels : {4u, 5u})
        for (const bool large : {false, true})
            for (const u64 page : {u64{0xfee00000}, u64{0}, 64 * GiB - page_size}) {
                Subject subject({.bits = 36,
                                 .large = large,
                                 .levels = levels,
                                 .protect = page,
                                 .hidden = {{0x7e12'3000, 300}}});
                REQUIRE(subject.build());
                const auto open = subject.build_open_root();
                REQUIRE(open);
                const auto protected_ = subject.require_right(), all = subject.judge(*open);
                CHECK(all.read_only.empty());
                CHECK(all.mapped == protected_.mapped);
                CHECK(all.malformed == 0);
                CHECK(all.wrong == 0);
                CHECK(all.hidden == protected_.hidden);
                CHECK(all.scratch == protected_.scratch);
                CHECK(all.leaves == protected_.leaves);
            }
}

TEST_CASE("NPT: no memory for the other root")
{
    Subject subject({.bits = 36});
    REQUIRE(subject.build());
    for (unsigned tables = 0; tables < 4; ++tables) {
        Arena::set_limit(Arena::used() + tables);
        CHECK_FALSE(subject.build_open_root());
    }
    Arena::set_limit(Arena::used() + 4);
    CHECK(subject.build_open_root());
}

TEST_CASE("NPT: nothing is read-only unless it is asked for")
{
    Subject subject({.bits = 36, .protect = std::nullopt, .state = MtrrState(WB)});
    REQUIRE(subject.build());
    CHECK(subject.require_right().leaves == std::map<u64, u64>{{GiB, 64}});
}

TEST_CASE("NPT: hidden ranges, beside the protected page too")
{
    const std::vector<std::vector<Hidden>> cases = {
        {{0, 1}},
        {{0x1234'5000, 1}},
        {{0x3ff000, 2}},
        {{GiB - 3 * page_size, 7}},
        {{0x4000'0000 + 2 * MiB, 512}},
        {{0xfedf'f000, 1}, {0xfee0'1000, 1}},
        {{0xfec0'0000, 512}},
        {{64 * GiB - page_size, 1}},
        {{0x8000, 1}, {5 * GiB, 3}, {40 * GiB + 0x7000, 600}},
    };
    for (const auto& hidden : cases)
        for (const bool large : {false, true}) {
            CAPTURE(hidden[0].first);
            Subject subject({.bits = 36, .large = large, .hidden = hidden, .state = MtrrState(WB)});
            REQUIRE(subject.build());
            subject.require_right();
        }
}

TEST_CASE("NPT: a change of the MTRRs leaves the protected and the hidden pages so")
{
    std::mt19937_64 random(5);
    for (const bool large : {false, true}) {
        Subject subject({.bits = 36, .large = large, .hidden = {{0x1200'5000, 20}}});
        REQUIRE(subject.build());
        subject.require_right();
        for (unsigned round = 0; round < 20; ++round) {
            constexpr u8 types[] = {UC, WC, WT, WP, WB};
            std::vector<VariableRange> ranges{{0xfee0'0000, 4 * KiB, types[random() % 5]}};
            for (unsigned i = 0; i < random() % 6; ++i) {
                const u64 size = (4 * KiB) << (random() % 21); // up to 4 GiB
                ranges.push_back({random() % (16 * GiB) & ~(size - 1), size, types[random() % 5]});
            }
            CHECK(subject.update(MtrrState(types[random() % 5], ranges, 36)));
            subject.require_right();
        }
    }
}

TEST_CASE("NPT: too little memory")
{
    const Setup setup{
        .bits = 36, .large = false, .hidden = {{0x7e12'3000, 600}}, .state = MtrrState(WB)};
    Subject enough(setup);
    REQUIRE(enough.build());
    const std::size_t needed = Arena::used();
    for (std::size_t limit = 0; limit < needed; ++limit) {
        CAPTURE(limit);
        Subject subject(setup, limit);
        CHECK_FALSE(subject.build());
    }
    // Later, what cannot be split stays mapped, and the protected page protected.
    Subject exact(setup, needed);
    REQUIRE(exact.build());
    CHECK_FALSE(exact.update(MtrrState(WB, {{GiB + 4 * KiB, 4 * KiB, UC}}, 36)));
    exact.require_right();
}

} // namespace
} // namespace zpp::test
