// mtrr: the memory types against the rules of SDM Vol. 3A, 12.11.
#include "mtrr_oracle.hpp"
#include "paging/mtrr.hpp"
#include <doctest/doctest.h>
#include <optional>
#include <random>
#include <string>

namespace zpp::test {
namespace {

constexpr auto differs = std::nullopt;

// Mtrrs is 4 KiB of state, as in the core: one at a time.
Mtrrs read(const MtrrState& state)
{
    use_msrs(state.msrs());
    Mtrrs mtrrs;
    mtrrs.refresh(true, read_msr);
    return mtrrs;
}

std::optional<u8> type_of(const Mtrrs& mtrrs, u64 base, u64 size)
{
    const auto type = mtrrs.type_of({base}, size);
    return type ? std::optional(static_cast<u8>(*type)) : std::nullopt;
}

struct Block {
    u64 base, size;
    std::optional<u8> type;
};

struct Case {
    const char* name;
    MtrrState state;
    std::vector<Block> blocks;
};

const std::vector<Case> cases = {
    {"E off: all is UC, whatever the rest says",
     MtrrState(WB, {{0, 4 * GiB, WB}}).with_fixed(WB).with_default(0x406), // FE on, E off
     {{0, 4 * KiB, UC}, {0, GiB, UC}, {GiB, GiB, UC}, {512 * GiB - 4 * KiB, 4 * KiB, UC}}},
    {"no range matches: the default type",
     MtrrState(WT, {{GiB, GiB, UC}}),
     {{0, 4 * KiB, WT}, {0, GiB, WT}, {2 * GiB, GiB, WT}, {GiB, GiB, UC}}},
    {"FE off: the first MiB follows the variable ranges",
     MtrrState(UC, {{0, GiB, WB}}).with_fixed(WC).with_default(0x800),
     {{0, 4 * KiB, WB}, {0xa0000, 4 * KiB, WB}, {0, 2 * MiB, WB}, {0, GiB, WB}}},
    {"FE on: fixed ranges beat variable ones, UC too",
     MtrrState(UC, {{0, GiB, UC}}).with_fixed(WB),
     {{0, 4 * KiB, WB}, {0xff000, 4 * KiB, WB}, {0x100000, 4 * KiB, UC}, {0, 2 * MiB, differs}}},
    {"a block that a range covers in part",
     MtrrState(WB, {{GiB + 4 * KiB, 4 * KiB, UC}}),
     {{GiB, GiB, differs},
      {GiB, 2 * MiB, differs},
      {GiB, 4 * KiB, WB},
      {GiB + 4 * KiB, 4 * KiB, UC},
      {GiB + 8 * KiB, 4 * KiB, WB},
      {GiB + 2 * MiB, 2 * MiB, WB},
      {0, GiB, WB},
      {2 * GiB, GiB, WB}}},
    {"the last 4 KiB and the first of the next block",
     MtrrState(WB, {{2 * GiB - 4 * KiB, 4 * KiB, UC}, {4 * GiB, 4 * KiB, WC}}),
     {{GiB, GiB, differs}, {2 * GiB, GiB, WB}, {3 * GiB, GiB, WB}, {4 * GiB, GiB, differs}}},
    {"UC over WB is UC, in either order",
     MtrrState(WT, {{0, 4 * GiB, WB}, {3 * GiB, GiB, UC}, {0, 8 * GiB, WB}}),
     {{0, GiB, WB},
      {2 * GiB, GiB, WB},
      {3 * GiB, GiB, UC},
      {4 * GiB, GiB, WB},
      {8 * GiB, GiB, WT}}},
    {"UC over WT is UC",
     MtrrState(WB, {{0, GiB, UC}, {0, 2 * GiB, WT}}),
     {{0, GiB, UC}, {GiB, GiB, WT}}},
    {"WT over WB is WT, in either order",
     MtrrState(UC, {{0, 2 * GiB, WB}, {0, GiB, WT}, {2 * GiB, GiB, WT}, {2 * GiB, 2 * GiB, WB}}),
     {{0, GiB, WT}, {GiB, GiB, WB}, {2 * GiB, GiB, WT}, {3 * GiB, GiB, WB}}},
    {"UC, WT and WB over each other are UC",
     MtrrState(WB, {{0, GiB, WT}, {0, GiB, WB}, {0, GiB, UC}}),
     {{0, GiB, UC}}},
    {"the same type twice is that type, even where mixing is undefined",
     MtrrState(WB, {{0, GiB, WC}, {0, 2 * GiB, WC}, {4 * GiB, GiB, WP}, {4 * GiB, GiB, WP}}),
     {{0, GiB, WC}, {GiB, GiB, WC}, {4 * GiB, GiB, WP}}},
    {"what the manual leaves undefined is UC",
     MtrrState(
         WB,
         {{0, GiB, WC}, {0, 4 * GiB, WB}, {GiB, GiB, WP}, {2 * GiB, GiB, WT}, {2 * GiB, GiB, WP}}),
     {{0, GiB, UC}, {GiB, GiB, UC}, {2 * GiB, GiB, UC}, {3 * GiB, GiB, WB}}},
    {"the default type takes no part in overlaps",
     MtrrState(UC, {{0, GiB, WB}}),
     {{0, GiB, WB}, {GiB, GiB, UC}}},
    {"a range without the valid bit is none",
     MtrrState(WB).with_raw(3, 0, mask_of(4 * GiB, 39) & ~u64{0x800}),
     {{0, 4 * GiB, WB}}},
    {"a discontiguous mask matches again and again: bit 31 free, bit 32 fixed",
     MtrrState(WB).with_raw(0, 0, mask_of(GiB, 39) & ~(2 * GiB)),
     {{0, GiB, UC},
      {GiB, GiB, WB},
      {2 * GiB, GiB, UC},
      {3 * GiB, GiB, WB},
      {4 * GiB, GiB, WB},
      {0, 4 * GiB, differs}}},
    {"a mask with a free bit below the block's size does not split the block",
     MtrrState(WB).with_raw(0, 0, 0x800 | 0x100000), // every other MiB
     {{0, 4 * KiB, UC},
      {MiB, 4 * KiB, WB},
      {2 * MiB, 4 * KiB, UC},
      {0, 2 * MiB, differs},
      {GiB, GiB, differs}}},
    {"a mask of zeros matches everything",
     MtrrState(WB).with_raw(0, WT, 0x800),
     {{0, 4 * KiB, WT}, {511 * GiB, GiB, WT}}},
    {"a mask for 36 bits on a CPU with more: the range repeats every 64 GiB",
     MtrrState(WB, {{GiB, GiB, UC}}, 36),
     {{GiB, GiB, UC}, {65 * GiB, GiB, UC}, {66 * GiB, GiB, WB}}},
    {"up to 52 bits",
     MtrrState(WB, {{u64{1} << 51, u64{1} << 51, UC}}, 52),
     {{0, GiB, WB},
      {(u64{1} << 51) - GiB, GiB, WB},
      {u64{1} << 51, GiB, UC},
      {(u64{1} << 52) - GiB, GiB, UC}}},
};

TEST_CASE("MTRRs: types of blocks")
{
    for (const Case& c : cases) {
        INFO(std::string(c.name));
        const Mtrrs mtrrs = read(c.state);
        for (const Block& block : c.blocks) {
            CAPTURE(block.base);
            CAPTURE(block.size);
            CHECK(type_of(mtrrs, block.base, block.size) == block.type);
        }
    }
}

TEST_CASE("MTRRs: without them all memory is write-back")
{
    use_msrs({}); // and none is read
    Mtrrs mtrrs;
    CHECK_FALSE(mtrrs.refresh(false, read_msr));
    CHECK(type_of(mtrrs, 0, 4 * KiB) == WB);
    CHECK(type_of(mtrrs, 0xa0000, 4 * KiB) == WB);
    CHECK(type_of(mtrrs, 0, GiB) == WB);
    CHECK(mtrrs.variable_count() == 0);
}

TEST_CASE("MTRRs: without fixed ranges their MSRs are not read")
{
    MtrrState state(WB, {{0, GiB, WT}});
    Msrs msrs = state.msrs();
    msrs[0xfe] &= ~u64{0x100};
    for (const FixedRegister& fixed : fixed_registers)
        msrs.erase(fixed.msr);
    use_msrs(msrs);
    Mtrrs mtrrs;
    mtrrs.refresh(true, read_msr);
    CHECK(type_of(mtrrs, 0xa0000, 4 * KiB) == WT);
}

TEST_CASE("MTRRs: each part of each fixed-range register")
{
    for (const FixedRegister& fixed : fixed_registers)
        for (unsigned part = 0; part < 8; ++part) {
            CAPTURE(fixed.msr);
            CAPTURE(part);
            const MtrrState state = MtrrState(UC).with_fixed(WB).with_fixed(
                fixed.msr, 0x0606060606060606 & ~(u64{0xff} << (8 * part)));
            const Mtrrs mtrrs = read(state);
            const u64 first = fixed.first + part * fixed.part;
            for (u64 address = 0; address < MiB; address += 4 * KiB) {
                const bool inside = address >= first && address < first + fixed.part;
                REQUIRE(type_of(mtrrs, address, 4 * KiB) == (inside ? UC : WB));
            }
        }
}

TEST_CASE("MTRRs: ten variable ranges and more")
{
    for (const unsigned count : {10u, 16u, 40u}) { // 40: the next PHYSBASE would be at 0x250
        CAPTURE(count);
        std::vector<VariableRange> ranges;
        for (unsigned i = 0; i < count; ++i)
            ranges.push_back({i * GiB, GiB, i % 2 != 0 ? WT : UC});
        const Mtrrs mtrrs = read(MtrrState(WB, ranges));
        CHECK(mtrrs.variable_count() == count);
        for (unsigned i = 0; i < count; ++i)
            CHECK(type_of(mtrrs, i * GiB, GiB) == (i % 2 != 0 ? WT : UC));
        CHECK(type_of(mtrrs, count * GiB, GiB) == WB);
    }
}

TEST_CASE("MTRRs: 255 variable ranges, the most that MTRRCAP can say")
{
    // The numbers of these MSRs run over other ones; only the last range is switched on.
    MtrrState state(WB);
    Msrs msrs = state.with_count(255).msrs();
    for (unsigned i = 10; i < 255; ++i)
        msrs[0x200 + 2 * i] = msrs[0x201 + 2 * i] = 0;
    msrs[0x2fe] = WB; // IA32_MTRR_DEF_TYPE stands in for the mask of range 127
    msrs[0x2ff] = 0x806;
    msrs[0x200 + 2 * 254] = GiB | WT;
    msrs[0x201 + 2 * 254] = mask_of(GiB, 39);
    use_msrs(msrs);
    Mtrrs mtrrs;
    mtrrs.refresh(true, read_msr);
    CHECK(mtrrs.variable_count() == 255);
    CHECK(type_of(mtrrs, 0, GiB) == WB);
    CHECK(type_of(mtrrs, GiB, GiB) == WT);
    CHECK(type_of(mtrrs, 2 * GiB, GiB) == WB);
}

TEST_CASE("MTRRs: refresh tells each change, and only changes")
{
    const MtrrState start = MtrrState(WB, {{GiB, GiB, UC}}).with_fixed(WB);
    use_msrs(start.msrs());
    Mtrrs mtrrs;
    CHECK(mtrrs.refresh(true, read_msr));
    CHECK_FALSE(mtrrs.refresh(true, read_msr));
    for (const auto& [msr, value] : start.msrs()) {
        if (msr == 0xfe) // read-only
            continue;
        CAPTURE(msr);
        Msrs changed = start.msrs();
        changed[msr] ^= 0x800; // E, a valid bit, or a type
        use_msrs(changed);
        CHECK(mtrrs.refresh(true, read_msr));
        CHECK_FALSE(mtrrs.refresh(true, read_msr));
        use_msrs(start.msrs());
        CHECK(mtrrs.refresh(true, read_msr));
        CHECK_FALSE(mtrrs.refresh(true, read_msr));
    }
}

TEST_CASE("MTRRs: a refresh is followed by the new types")
{
    Mtrrs mtrrs = read(MtrrState(WB, {{GiB, GiB, UC}}));
    use_msrs(MtrrState(WB, {{2 * GiB, GiB, WT}}).msrs());
    CHECK(mtrrs.refresh(true, read_msr));
    CHECK(type_of(mtrrs, GiB, GiB) == WB);
    CHECK(type_of(mtrrs, 2 * GiB, GiB) == WT);
    use_msrs(MtrrState(WB).with_default(0x006).msrs()); // E off in the middle of a change
    CHECK(mtrrs.refresh(true, read_msr));
    CHECK(type_of(mtrrs, GiB, GiB) == UC);
}

TEST_CASE("MTRRs: which MSRs they are")
{
    const auto expected = [](u32 msr, unsigned count) {
        if (msr >= 0x200 && msr < 0x200 + 2 * count)
            return true;
        for (const FixedRegister& fixed : fixed_registers)
            if (msr == fixed.msr)
                return true;
        return msr == 0x2ff;
    };
    for (const unsigned count : {0u, 8u, 10u, 16u})
        for (u32 msr = 0; msr < 0x1000; ++msr) {
            CAPTURE(msr);
            REQUIRE(Mtrrs::is_mtrr(x86::Msr{msr}, count) == expected(msr, count));
        }
    CHECK_FALSE(Mtrrs::is_mtrr(x86::Msr{0xc0000200}, 10));
    CHECK_FALSE(Mtrrs::is_mtrr(x86::Msr{0x277}, 10)); // IA32_PAT
    CHECK_FALSE(Mtrrs::is_mtrr(x86::Msr{0xfe}, 10));  // IA32_MTRRCAP
}

// Whatever the MTRRs hold: a type is given only to blocks that have one type, always to 4 KiB,
// and it is the right one.
TEST_CASE("MTRRs: random ones against the oracle")
{
    std::mt19937_64 random(1);
    const auto pick_type = [&] {
        constexpr u8 types[] = {UC, WC, WT, WP, WB, WB, UC};
        return types[random() % std::size(types)];
    };
    u64 checked = 0, wrong = 0;
    for (unsigned round = 0; round < 300; ++round) {
        MtrrState state(pick_type());
        for (unsigned i = 0; i < random() % 8; ++i) {
            const u64 size = (4 * KiB) << (random() % 12); // up to 8 MiB
            u64 mask = mask_of(size, 39);
            if (random() % 4 == 0)
                mask &= ~((4 * KiB) << (random() % 14)); // discontiguous
            state.with_raw(i, (random() % (16 * MiB) & ~(size - 1)) | pick_type(), mask);
        }
        for (const FixedRegister& fixed : fixed_registers)
            if (round % 2 != 0)
                state.with_fixed(fixed.msr, 0x0101010101010101 * pick_type());
        const Mtrrs mtrrs = read(state);
        for (u64 base = 0; base < 16 * MiB; base += 2 * MiB) {
            bool uniform = true;
            for (u64 page = base; page < base + 2 * MiB; page += 4 * KiB) {
                const u8 right = state.type_at(page);
                uniform = uniform && right == state.type_at(base);
                wrong += type_of(mtrrs, page, 4 * KiB) != right;
                ++checked;
            }
            const auto whole = type_of(mtrrs, base, 2 * MiB);
            wrong += whole && (!uniform || *whole != state.type_at(base));
        }
    }
    CHECK(checked == 300 * 4096);
    CHECK(wrong == 0);
}

} // namespace
} // namespace zpp::test
