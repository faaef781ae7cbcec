// svm/routing: the guest cannot route the core's memory elsewhere. The core is in the pages
// 7000000H to 702EFFFH, and in one page above 4 GiB.
#include "core/machine.hpp"
#include "fake_core.hpp"
#include "fake_registers.hpp"
#include "svm/routing.hpp"
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

using x86::Msr;
using namespace svm::routing;

constexpr u64 core = 0x7000000, core_high = 0x140000000;
constexpr u64 valid = bit(11), dram = bit(3) | bit(4);

// A CPU whose MSRs route nothing away, and the core's memory.
struct Rig {
    zpp_boot_info info = boot_info();
    FakeRegisters cpu;

    Rig()
    {
        info.range_count = 2;
        info.ranges[0] = {core, 0x30 - 1};
        info.ranges[1] = {core_high, 2};
        REQUIRE(machine.adopt(&info));
        cpu.msrs = {{0xc0010010, bit(20) | bit(21)},
                    {0xc0010016, 0},
                    {0xc0010017, 0},
                    {0xc0010018, 0},
                    {0xc0010019, 0},
                    {0xc001001a, 0x80000000},
                    {0xc001001d, 0x180000000},
                    {0xc0010058, 0},
                    {0xc0010111, 0x30000},
                    {0xc0010112, 0x7f000000},
                    {0xc0010113, 0xffffff000003}};
    }

    // Whether the MSR has the value then.
    bool takes(u32 msr, u64 value, Outcome (*write)(Msr, u64))
    {
        const u64 before = cpu.msrs.at(msr);
        const Outcome outcome = write(Msr{msr}, value);
        CHECK(cpu.msrs.at(msr) == (outcome == Outcome::advance ? value : before));
        return outcome == Outcome::advance;
    }
};

TEST_CASE("routing: an IORR must not cover the core, but with DRAM")
{
    struct {
        const char* name;
        u64 base, mask;
        bool taken;
    } const cases[] = {
        {"beside it", 0x8000000, ~u64{0xffffff} & bits(51, 12), true},
        {"over all of it", core, ~u64{0xffffff} & bits(51, 12), false},
        {"over its last page", 0x702e000, ~u64{0xfff} & bits(51, 12), false},
        {"over the page behind its end", 0x702f000, ~u64{0xfff} & bits(51, 12), true},
        {"over everything", 0, 0, false},
        {"over the page above 4 GiB", core_high, ~u64{0xfff} & bits(51, 12), false},
        {"a mask with holes", 0, bits(51, 28) | bits(23, 12), false},
        {"over it, as DRAM", core | dram, ~u64{0xffffff} & bits(51, 12), true},
        {"over it, only reads from DRAM", core | bit(4), ~u64{0xffffff} & bits(51, 12), false},
        {"over it, only writes to DRAM", core | bit(3), ~u64{0xffffff} & bits(51, 12), false},
    };
    for (const auto& c : cases)
        for (const u32 pair : {0xc0010016, 0xc0010018}) {
            INFO(std::string(c.name));
            Rig rig;
            CHECK(rig.takes(pair, c.base, write_iorr)); // the mask is not valid yet
            CHECK(rig.takes(pair + 1, c.mask | valid, write_iorr) == c.taken);
            CHECK(rig.takes(pair + 1, c.mask, write_iorr)); // not valid
            Rig other;
            other.cpu.msrs[pair + 1] = c.mask | valid;
            CHECK(other.takes(pair, c.base, write_iorr) == c.taken);
        }
}

TEST_CASE("routing: DRAM does not end below the core")
{
    struct {
        u32 msr;
        u64 value;
        bool taken;
    } const cases[] = {
        {0xc001001a, 0x80000000, true},   {0xc001001a, 0x7800000, true},
        {0xc001001a, 0x7000000, false},   {0xc001001a, 0, false},
        {0xc001001d, 0x180000000, true},  {0xc001001d, 0x140800000, true},
        {0xc001001d, 0x140000000, false}, {0xc001001d, 0, false},
    };
    for (const auto& c : cases) {
        CAPTURE(c.msr);
        CAPTURE(c.value);
        Rig rig;
        CHECK(rig.takes(c.msr, c.value, write_top_mem) == c.taken);
    }
}

TEST_CASE("routing: SYSCFG keeps TOP_MEM and TOP_MEM2, and has no memory encryption")
{
    constexpr u64 now = bit(20) | bit(21) | bit(23);
    const auto taken = [&](u64 value) {
        Rig rig;
        rig.cpu.msrs[0xc0010010] = now;
        const bool advanced = write_syscfg(Msr{0xc0010010}, value) == Outcome::advance;
        CHECK(rig.cpu.msrs.at(0xc0010010) == (advanced ? value | bit(23) : now)); // stays on
        return advanced;
    };
    Rig rig;
    rig.cpu.msrs[0xc0010010] = now | bit(24) | bit(25) | bit(26);
    u64 seen = 0;
    CHECK(read_syscfg(Msr{0xc0010010}, seen) == Outcome::advance);
    CHECK(seen == (bit(20) | bit(21)));
    CHECK(taken(bit(20) | bit(21)));
    CHECK(taken(bit(20) | bit(21) | bit(18) | bit(19) | bit(22)));
    CHECK_FALSE(taken(bit(20)));
    CHECK_FALSE(taken(bit(21)));
    for (const unsigned encryption : {23, 24, 25, 26})
        CHECK_FALSE(taken(bit(20) | bit(21) | bit(encryption)));
}

TEST_CASE("routing: the window of MMIO configuration space")
{
    struct {
        u64 value;
        bool taken;
    } const cases[] = {
        {0xe0000000 | 8 << 2 | 1, true}, {0x7000000 | 0 << 2 | 1, false},
        {0x6000000 | 3 << 2 | 1, true},  {0x6000000 | 5 << 2 | 1, false},
        {0 | 8 << 2 | 1, false},         {0 | 8 << 2, true}, // not enabled
        {0x7100000 | 1, true},
    };
    for (const auto& c : cases) {
        CAPTURE(c.value);
        Rig rig;
        CHECK(rig.takes(0xc0010058, c.value, write_mmio_cfg_base) == c.taken);
    }
}

TEST_CASE("routing: system management memory is locked")
{
    for (const u32 msr : {0xc0010111, 0xc0010112, 0xc0010113}) {
        Rig rig;
        const u64 now = rig.cpu.msrs.at(msr);
        CHECK(rig.takes(msr, now, write_locked));
        CHECK_FALSE(rig.takes(msr, core, write_locked));
        CHECK_FALSE(rig.takes(msr, now ^ bit(1), write_locked));
    }
}

} // namespace
} // namespace zpp::test
