// guest_walk: the guest's own tables in every paging mode (SDM Vol. 3A, 5.3 to 5.5; AMD APM
// Vol. 2, 5.2 and 5.3).
#include "guest/page_walk.hpp"
#include <doctest/doctest.h>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

constexpr auto PE = x86::Cr0{bit(0)}, PG = x86::Cr0{bit(31)};
constexpr auto PSE = x86::Cr4{bit(4)}, PAE = x86::Cr4{bit(5)}, LA57 = x86::Cr4{bit(12)},
               PCIDE = x86::Cr4{bit(17)};
constexpr auto LME = x86::Efer{bit(8)}, LMA = x86::Efer{bit(10)}, NXE = x86::Efer{bit(11)};
constexpr u64 P = bit(0), PS = bit(7), NX = bit(63);

// Guest-physical memory of table entries. What is not in it must not be read.
class Memory {
public:
    Memory& with(u64 address, u64 entry)
    {
        entries_[address] = entry;
        return *this;
    }
    Memory& without(u64 address)
    {
        entries_.erase(address);
        return *this;
    }

    std::optional<u64> walk(const GuestPaging& paging, u64 linear)
    {
        reads = 0;
        sizes.clear();
        const auto found = zpp::walk(paging, {linear}, read, this);
        return found ? std::optional(found->value) : std::nullopt;
    }

    unsigned reads = 0;
    std::set<unsigned> sizes; // of the reads, in bytes

private:
    static std::optional<u64> read(void* context, Gpa address, unsigned size)
    {
        auto& self = *static_cast<Memory*>(context);
        ++self.reads;
        self.sizes.insert(size);
        const auto found = self.entries_.find(address.value);
        if (found == self.entries_.end())
            return std::nullopt;
        return found->second;
    }

    std::map<u64, u64> entries_;
};

struct Step {
    u64 address, entry; // of the table's entry
};

struct Case {
    const char* name;
    GuestPaging paging;
    std::vector<Step> steps; // in the order of the walk
    u64 linear, physical;
};

constexpr GuestPaging legacy{PG | PE, 0x5000, {}, {}};
constexpr GuestPaging pse{PG | PE, 0x5000, PSE, {}};
constexpr GuestPaging pae{PG | PE, 0x5020, PAE, {}};
constexpr GuestPaging four{PG | PE, 0x1000, PAE, LME | LMA};
constexpr GuestPaging five{PG | PE, 0x1000, PAE | LA57, LME | LMA};

// 0xffff8123'456789ab: indexes 0x102, 0x8d, 0x2b, 0x78 and offset 0x9ab; with five levels 0x1ff
// above, since the address is canonical.
constexpr u64 high_half = 0xffff8123'456789ab;
// 0x00ab'cdef'1234'5678: indexes 0xab, 0x19b, 0x1bc, 0x91, 0x145.
constexpr u64 wide = 0x00ab'cdef'1234'5678;

const std::vector<Case> cases = {
    {"32-bit, 4 KiB",
     legacy,
     {{0x5000 + 4 * 0x300, 0x7000 | P}, {0x7000 + 4 * 0x12, 0x9abc'd000 | P}},
     0xc0012345,
     0x9abcd345},
    {"32-bit, the top of the address space",
     legacy,
     {{0x5ffc, 0xfffff000 | P}, {0xfffffffc, 0xffff'f000 | P}},
     0xffffffff,
     0xffffffff},
    {"32-bit, linear addresses wrap at 4 GiB",
     legacy,
     {{0x5000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x1'0000'0123,
     0x8123},
    {"32-bit, PS without CR4.PSE is ignored",
     legacy,
     {{0x5000 + 4 * 0x300, 0x7000 | PS | P}, {0x7000 + 4 * 0x12, 0x8000 | P}},
     0xc0012345,
     0x8345},
    {"32-bit, 4 KiB where CR4.PSE is on",
     pse,
     {{0x5000 + 4 * 0x300, 0x7000 | P}, {0x7000 + 4 * 0x12, 0x8000 | P}},
     0xc0012345,
     0x8345},
    {"32-bit, bit 7 of the last level is PAT",
     pse,
     {{0x5000 + 4 * 0x300, 0x7000 | P}, {0x7000 + 4 * 0x12, 0x8000 | PS | P}},
     0xc0012345,
     0x8345},
    {"32-bit, 4 MiB", pse, {{0x5000 + 4 * 0x300, 0x12400000 | PS | P}}, 0xc03abcde, 0x127abcde},
    {"32-bit, 4 MiB with address bits 39:32",
     pse,
     {{0x5000 + 4 * 0x300, 0x12400000 | 0xa5 << 13 | PS | P}},
     0xc03abcde,
     0xa5'127abcde},
    {"32-bit, 4 MiB with all attributes",
     pse,
     {{0x5000 + 4 * 0x300, 0x12400000 | 0x1fff}},
     0xc03abcde,
     0x127abcde},
    {"32-bit, 4 MiB, bit 21 is no address bit",
     pse,
     {{0x5000 + 4 * 0x300, 0x12400000 | bit(21) | PS | P}},
     0xc01abcde,
     0x125abcde},
    {"32-bit, all attributes",
     pse,
     {{0x5000 + 4 * 0x300, 0x7f7f}, {0x7000 + 4 * 0x12, 0x8fff}},
     0xc0012345,
     0x8345},
    {"32-bit, PWT, PCD and ignored bits of CR3",
     {PG | PE, 0x5fff, PSE, {}},
     {{0x5000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x123,
     0x8123},
    {"32-bit, bits of CR3 that 64-bit code has left",
     {PG | PE, 0x7'0000'5000, PSE, {}},
     {{0x5000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x123,
     0x8123},
    {"32-bit, EFER.LME and NXE have no say",
     {PG | PE, 0x5000, {}, LME | NXE},
     {{0x5000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x123,
     0x8123},

    {"PAE, 4 KiB",
     pae,
     {{0x5020 + 8 * 3, 0x6000 | P},
      {0x6000 + 8 * 0, 0x7000 | P},
      {0x7000 + 8 * 0x12, 0xf'9abc'd000 | P}},
     0xc0012345,
     0xf'9abcd345},
    {"PAE, 2 MiB",
     pae,
     {{0x5020 + 8 * 2, 0x6000 | P}, {0x6000 + 8 * 0x1ff, 0x4'12200000 | PS | P}},
     0xbffabcde,
     0x4'123abcde},
    {"PAE, 2 MiB with NX, PAT and all attributes",
     pae,
     {{0x5020, 0x6000 | P}, {0x6000, NX | 0x7ff0'0000'0000'0000 | 0x12200000 | 0x1fff}},
     0x1abcde,
     0x123abcde},
    {"PAE, CR3 to 32 bytes, its low and high bits ignored",
     {PG | PE, 0xfedc'ba98'0000'5fff, PAE, {}},
     {{0x5fe0, 0x6000 | P}, {0x6000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x123,
     0x8123},
    {"PAE, no large page at the pointers",
     pae,
     {{0x5020, 0x6000 | PS | P}, {0x6000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x123,
     0x8123},
    {"PAE, linear addresses wrap at 4 GiB",
     pae,
     {{0x5020, 0x6000 | P}, {0x6000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0xffff'ffff'0000'0123,
     0x8123},
    {"PAE, CR4.PSE has no say",
     {PG | PE, 0x5020, PAE | PSE, {}},
     {{0x5020, 0x6000 | P}, {0x6000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x123,
     0x8123},
    {"PAE, CR4.LA57 has no say",
     {PG | PE, 0x5020, PAE | LA57, {}},
     {{0x5020, 0x6000 | P}, {0x6000, 0x7000 | P}, {0x7000, 0x8000 | P}},
     0x123,
     0x8123},

    {"four levels, 4 KiB",
     four,
     {{0x1000 + 8 * 0x102, 0x2000 | P},
      {0x2000 + 8 * 0x8d, 0x3000 | P},
      {0x3000 + 8 * 0x2b, 0x4000 | P},
      {0x4000 + 8 * 0x78, 0xf'edcb'a987'6000 | P}},
     high_half,
     0xf'edcb'a987'69ab},
    {"four levels, 2 MiB",
     four,
     {{0x1000 + 8 * 0x102, 0x2000 | P},
      {0x2000 + 8 * 0x8d, 0x3000 | P},
      {0x3000 + 8 * 0x2b, 0x8'4020'0000 | PS | P}},
     high_half,
     0x8'4027'89ab},
    {"four levels, 1 GiB",
     four,
     {{0x1000 + 8 * 0x102, 0x2000 | P}, {0x2000 + 8 * 0x8d, 0x40'c000'0000 | PS | P}},
     high_half,
     0x40'c567'89ab},
    {"four levels, no large page above 1 GiB",
     four,
     {{0x1000 + 8 * 0x102, 0x2000 | PS | P}, {0x2000 + 8 * 0x8d, 0x40'c000'0000 | PS | P}},
     high_half,
     0x40'c567'89ab},
    {"four levels, NX, ignored bits and attributes at each level",
     four,
     {{0x1000 + 8 * 0x102, NX | 0x7ff0'0000'0000'2f7f},
      {0x2000 + 8 * 0x8d, NX | 0x7ff0'0000'0000'3f7f},
      {0x3000 + 8 * 0x2b, NX | 0x7ff0'0000'0000'4f7f},
      {0x4000 + 8 * 0x78, NX | 0x7ff0'0000'0000'8fff}},
     high_half,
     0x89ab},
    {"four levels, 2 MiB with NX, PAT and all attributes",
     four,
     {{0x1000 + 8 * 0x102, 0x2000 | P},
      {0x2000 + 8 * 0x8d, 0x3000 | P},
      {0x3000 + 8 * 0x2b, NX | 0x7ff0'0000'4020'1fff}},
     high_half,
     0x4027'89ab},
    {"four levels, 1 GiB with NX, PAT and all attributes",
     four,
     {{0x1000 + 8 * 0x102, 0x2000 | P}, {0x2000 + 8 * 0x8d, NX | 0x7ff0'0000'c000'1fff}},
     high_half,
     0xc567'89ab},
    {"four levels, a PCID in CR3",
     {PG | PE, 0x1fff, PAE | PCIDE, LME | LMA | NXE},
     {{0x1000, 0x2000 | P}, {0x2000, 0x3000 | P}, {0x3000, 0x4000 | P}, {0x4000, 0x8000 | P}},
     0x123,
     0x8123},
    {"four levels, bits above 51 of CR3",
     {PG | PE, 0xe000'0000'0000'1000, PAE, LME | LMA},
     {{0x1000, 0x2000 | P}, {0x2000, 0x3000 | P}, {0x3000, 0x4000 | P}, {0x4000, 0x8000 | P}},
     0x123,
     0x8123},
    {"four levels, tables beyond 4 GiB",
     {PG | PE, 0xf'ffff'ffff'f000, PAE, LME | LMA},
     {{0xf'ffff'ffff'fff8, 0x5'0000'2000 | P},
      {0x5'0000'2ff8, 0x6'0000'3000 | P},
      {0x6'0000'3ff8, 0x7'0000'4000 | P},
      {0x7'0000'4ff8, 0x8000 | P}},
     0xffff'ffff'ffff'ffff,
     0x8fff},
    {"four levels, one of them leading to itself",
     four,
     {{0x1ff8, 0x1000 | P}},
     0xffff'ffff'ffff'ff00,
     0x1f00},

    {"five levels, 4 KiB",
     five,
     {{0x1000 + 8 * 0xab, 0x2000 | P},
      {0x2000 + 8 * 0x19b, 0x3000 | P},
      {0x3000 + 8 * 0x1bc, 0x4000 | P},
      {0x4000 + 8 * 0x91, 0x5000 | P},
      {0x5000 + 8 * 0x145, 0x8000 | P}},
     wide,
     0x8678},
    {"five levels, 2 MiB",
     five,
     {{0x1000 + 8 * 0xab, 0x2000 | P},
      {0x2000 + 8 * 0x19b, 0x3000 | P},
      {0x3000 + 8 * 0x1bc, 0x4000 | P},
      {0x4000 + 8 * 0x91, 0x4020'0000 | PS | P}},
     wide,
     0x4034'5678},
    {"five levels, 1 GiB",
     five,
     {{0x1000 + 8 * 0xab, 0x2000 | P},
      {0x2000 + 8 * 0x19b, 0x3000 | P},
      {0x3000 + 8 * 0x1bc, 0x8000'0000 | PS | P}},
     wide,
     0x9234'5678},
    {"five levels, no large page above 1 GiB",
     five,
     {{0x1000 + 8 * 0xab, 0x2000 | PS | P},
      {0x2000 + 8 * 0x19b, 0x3000 | PS | P},
      {0x3000 + 8 * 0x1bc, 0x8000'0000 | PS | P}},
     wide,
     0x9234'5678},
    {"five levels, the high half",
     five,
     {{0x1000 + 8 * 0x1ff, 0x2000 | P},
      {0x2000 + 8 * 0x102, 0x3000 | P},
      {0x3000 + 8 * 0x8d, 0x4000 | P},
      {0x4000 + 8 * 0x2b, 0x5000 | P},
      {0x5000 + 8 * 0x78, 0x8000 | P}},
     high_half,
     0x89ab},
};

Memory memory_of(const Case& c)
{
    Memory memory;
    for (const Step& step : c.steps)
        memory.with(step.address, step.entry);
    return memory;
}

TEST_CASE("guest walk: without paging an address is its own")
{
    for (const x86::Efer efer : {x86::Efer{}, LME}) {
        const GuestPaging off{PE, 0x5000, PAE | PSE, efer};
        for (const u64 linear : {u64{0}, u64{0xfffffff0}, u64{0x12345678}}) {
            Memory memory;
            CHECK(memory.walk(off, linear) == linear);
            CHECK(memory.walk(off, linear | u64{5} << 32) == linear); // wraps
            CHECK(memory.reads == 0);
        }
    }
}

TEST_CASE("guest walk: each mode and page size")
{
    for (const Case& c : cases) {
        INFO(std::string(c.name));
        Memory memory = memory_of(c);
        CHECK(memory.walk(c.paging, c.linear) == c.physical);
        const bool long_mode = has(c.paging.efer, LMA);
        const bool entries_of_8 = long_mode || has(c.paging.cr4, PAE);
        CHECK(memory.sizes == std::set<unsigned>{entries_of_8 ? 8u : 4u});
    }
}

TEST_CASE("guest walk: the last byte of the page, and not the next one")
{
    for (const Case& c : cases) {
        INFO(std::string(c.name));
        Memory memory = memory_of(c);
        CHECK(memory.walk(c.paging, c.linear | 0xfff) == (c.physical | 0xfff));
        CHECK(memory.walk(c.paging, c.linear & ~u64{0xfff}) == (c.physical & ~u64{0xfff}));
    }
}

TEST_CASE("guest walk: an entry that is not present, or not to be read, at each level")
{
    for (const Case& c : cases)
        for (std::size_t level = 0; level < c.steps.size(); ++level) {
            INFO(std::string(c.name));
            CAPTURE(level);
            const Step& step = c.steps[level];
            const bool leads_to_itself = c.steps.size() == 1 && (step.entry & PS) == 0;
            Memory memory = memory_of(c);
            memory.with(step.address, step.entry & ~P);
            CHECK_FALSE(memory.walk(c.paging, c.linear));
            CHECK(memory.reads == level + 1);
            memory.without(step.address);
            CHECK_FALSE(memory.walk(c.paging, c.linear));
            CHECK(memory.reads == level + 1);
            memory.with(step.address, step.entry);
            CHECK(memory.walk(c.paging, c.linear) == c.physical);
            CHECK(memory.reads == (leads_to_itself ? 4 : c.steps.size()));
        }
}

// Of an entry, only the address, P and PS have a say.
TEST_CASE("guest walk: random attributes change nothing")
{
    std::mt19937_64 random(4);
    for (const Case& c : cases)
        for (unsigned round = 0; round < 100; ++round) {
            INFO(std::string(c.name));
            const bool entries_of_8 = has(c.paging.cr4, PAE);
            const u64 attributes = entries_of_8 ? 0xfff0'0000'0000'0f7e : 0xf7e;
            Memory memory;
            for (const Step& step : c.steps)
                memory.with(step.address, step.entry ^ (random() & attributes));
            CHECK(memory.walk(c.paging, c.linear) == c.physical);
        }
}

} // namespace
} // namespace zpp::test
