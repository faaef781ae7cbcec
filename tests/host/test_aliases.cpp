// Memory encryption: upper bits of a physical address select encryption (SME) or a key (MKTME), so
// addresses that differ only there are the same memory. Nested paging shows none of these aliases.
#include "arena.hpp"
#include "mtrr_oracle.hpp"
#include "paging/nested_paging.hpp"
#include "svm/npt.hpp"
#include "vmx/ept.hpp"
#include <doctest/doctest.h>
#include <optional>
#include <random>
#include <string>

namespace zpp::test {
namespace {

constexpr u64 hidden = 0x7e12'3000, hidden_pages = 300;

struct Tables {
    NestedPaging::Format format;
    NestedPaging paging;

    explicit Tables(const NestedPaging::Format& f) : format(f)
    {
        Arena::reset(10'000);
        paging.set_format(format);
        paging.set_pages({Arena::allocate, Arena::physical_of, Arena::virtual_of});
        REQUIRE(paging.hide({hidden}, hidden_pages));
        use_msrs(MtrrState(WB).msrs());
        Mtrrs mtrrs;
        mtrrs.refresh(true, read_msr);
        REQUIRE(paging.build(mtrrs));
    }

    // Where a guest-physical address leads; nothing if an entry is not present.
    std::optional<u64> translate(u64 guest) const
    {
        constexpr u64 address = 0x000ffffffffff000, present = 1, large = 1 << 7;
        u64 table = paging.root().value;
        for (unsigned level = format.levels; level > 0; --level) {
            const u64 size = page_size << (9 * (level - 1));
            const u64 entry =
                static_cast<const u64*>(Arena::virtual_of({table}))[guest / size % 512];
            if ((entry & present) == 0)
                return std::nullopt;
            table = entry & address;
            if (level == 1 || (level <= 3 && (entry & large) != 0))
                return table + guest % size;
        }
        return std::nullopt;
    }
};

struct Case {
    const char* name;
    NestedPaging::Format format;
    unsigned usable, formed; // bits
};

const Case cases[] = {
    {"SME, C-bit 47, 5 bits fewer",
     svm::npt::format(48, svm::npt::encrypted_width(48, 0x16f), true, 4), 43, 48},
    {"SME, C-bit 51, 6 bits fewer, four levels",
     svm::npt::format(52, svm::npt::encrypted_width(52, 0x1b3), true, 4), 46, 48},
    {"SME, C-bit 51, 6 bits fewer, five levels",
     svm::npt::format(52, svm::npt::encrypted_width(52, 0x1b3), true, 5), 46, 52},
    {"SME, only the C-bit is taken",
     svm::npt::format(48, svm::npt::encrypted_width(48, 0x2f), true, 4), 47, 48},
    {"MKTME, 6 bits of 46", vmx::ept::format(46, vmx::ept::key_bits(0x6'0000'0003), true, true), 40,
     46},
    {"MKTME, 6 bits of 52, four levels",
     vmx::ept::format(52, vmx::ept::key_bits(0x6'0000'0003), true, false), 46, 48},
    {"MKTME, 2 bits of 52, five levels",
     vmx::ept::format(52, vmx::ept::key_bits(0x2'0000'0003), true, true), 50, 52},
    {"MKTME, 4 bits of 39", vmx::ept::format(39, vmx::ept::key_bits(0x4'0000'0003), true, false),
     35, 39},
};

TEST_CASE("aliases: lead to the scratch page")
{
    for (const Case& c : cases) {
        INFO(std::string(c.name));
        CHECK(c.format.address_bits == c.usable);
        CHECK(c.format.guest_bits == c.formed);
        const Tables tables(c.format);
        const auto scratch = tables.translate(hidden);
        REQUIRE(scratch.has_value());
        CHECK(*scratch != hidden);
        std::mt19937_64 random(7);
        const u64 usable = u64{1} << c.usable, formed = u64{1} << c.formed;
        for (unsigned round = 0; round < 2'000; ++round) {
            const u64 plain =
                round % 2 == 0 ? hidden + random() % (hidden_pages * page_size) : random() % usable;
            const bool is_hidden = plain >= hidden && plain < hidden + hidden_pages * page_size;
            REQUIRE(tables.translate(plain) == (is_hidden ? *scratch + plain % page_size : plain));
            const u64 selected = (random() % (formed / usable - 1) + 1) * usable;
            REQUIRE(tables.translate(plain | selected) == *scratch + plain % page_size);
        }
        CHECK(tables.translate(formed - 1) == *scratch + page_size - 1);
        CHECK(tables.translate(usable) == scratch);
        CHECK(tables.translate(usable - 1) == usable - 1);
    }
}

TEST_CASE("aliases: none without memory encryption")
{
    CHECK(vmx::ept::key_bits(0) == 0);
    CHECK(vmx::ept::key_bits(0x6'0000'0001) == 0); // locked, but not enabled
    const auto plain = vmx::ept::format(46, 0, true, false);
    CHECK(plain.address_bits == plain.guest_bits);
    const Tables tables(plain);
    CHECK(tables.translate((u64{1} << 46) - 1) == (u64{1} << 46) - 1);
    CHECK_FALSE(tables.translate(u64{1} << 46).has_value());
}

} // namespace
} // namespace zpp::test
