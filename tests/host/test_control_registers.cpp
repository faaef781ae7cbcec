// MOV to CR0 and CR4: the values that are #GP whatever else the CPU is doing (SDM Vol. 2B, "MOV -
// Move to/from Control Registers", and Vol. 3A, 2.5), and what zpp hides.
#include "emulate/control.hpp"
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

constexpr u64 PE = 1u << 0, MP = 1u << 1, TS = 1u << 3, ET = 1u << 4, NE = 1u << 5;
constexpr u64 WP = 1u << 16, AM = 1u << 18, NW = 1u << 29, CD = 1u << 30, PG = 1u << 31;

struct Case {
    const char* name;
    u64 value;
    bool valid;
};

constexpr Case cases[] = {
    {"after INIT", 0x60000010, true},
    {"all clear", 0, true},
    {"protected mode", PE | ET, true},
    {"protected mode without NE", PE | ET | MP, true},
    {"64-bit Linux", PE | MP | ET | NE | WP | AM | PG, true},
    {"TS set", PE | ET | TS | PG, true},
    {"PG without PE", PG | ET, false},
    {"caches off", PE | PG | CD, true},
    {"no-fill mode's NW without CD", PE | PG | NW, false},
    {"NW with CD", PE | PG | CD | NW, true},
    {"NW without CD in real mode", NW, false},
    {"bit 32", PE | PG | bit(32), false},
    {"bit 63", PE | PG | bit(63), false},
    {"the sign-extended PG", 0xffffffff80000001, false},
};

TEST_CASE("CR0: what MOV accepts")
{
    for (const Case& c : cases) {
        INFO(std::string(c.name));
        CHECK(cr0_is_valid(x86::Cr0{c.value}) == c.valid);
    }
}

TEST_CASE("CR4: hidden bits are reserved ones")
{
    constexpr u64 VMXE = 1u << 13, SMXE = 1u << 14, PAE = 1u << 5;
    constexpr u64 reserved = ~u64{0x3727ff};
    constexpr u64 hidden = VMXE | SMXE | reserved;
    CHECK(cr4_is_valid(x86::Cr4{0}, x86::Cr4{hidden}));
    CHECK(cr4_is_valid(x86::Cr4{PAE}, x86::Cr4{hidden}));
    CHECK(cr4_is_valid(x86::Cr4{~hidden}, x86::Cr4{hidden}));
    CHECK_FALSE(cr4_is_valid(x86::Cr4{PAE | VMXE}, x86::Cr4{hidden}));
    CHECK_FALSE(cr4_is_valid(x86::Cr4{PAE | SMXE}, x86::Cr4{hidden}));
    CHECK_FALSE(cr4_is_valid(x86::Cr4{bit(63)}, x86::Cr4{hidden}));
}

} // namespace
} // namespace zpp::test
