// emulate_msr: which MSRs leave the guest, and the answers that need no CPU.
#include "emulate/emulate.hpp"
#include "fake_core.hpp"
#include <doctest/doctest.h>
#include <map>

namespace zpp::test {
namespace {

struct Access {
    bool read, write;
    bool operator==(const Access&) const = default;
};

std::map<u32, Access> intercepted()
{
    std::map<u32, Access> all;
    for_each_intercepted_msr(
        [](void* to, u32 first, u32 last, bool read, bool write) {
            for (u32 msr = first; msr <= last; ++msr) {
                Access& access = (*static_cast<std::map<u32, Access>*>(to))[msr];
                access = {access.read || read, access.write || write};
            }
        },
        &all);
    return all;
}

TEST_CASE("MSRs: what leaves the guest")
{
    constexpr Access both{true, true}, writes{false, true};
    for (const unsigned variable : {0u, 8u, 10u}) {
        CAPTURE(variable);
        std::map<u32, Access> expected{{0x3a, both}, {0x9b, both}, {0x79, writes}, {0x2ff, writes}};
        for (u32 msr = 0x480; msr <= 0x493; ++msr)
            expected[msr] = both;
        for (const u32 msr : {0x250, 0x258, 0x259})
            expected[msr] = writes;
        for (u32 msr = 0x268; msr <= 0x26f; ++msr)
            expected[msr] = writes;
        for (u32 msr = 0x200; msr < 0x200 + 2 * variable; ++msr)
            expected[msr] = writes;
        fake_core.variable_mtrrs = variable;
        CHECK(intercepted() == expected);
    }
}

TEST_CASE("MSRs: VMX does not exist for the guest")
{
    for (u32 msr = 0x480; msr <= 0x493; ++msr) {
        CAPTURE(msr);
        GuestRegisters registers{};
        registers.rcx = msr;
        CHECK(emulate_rdmsr(registers) == Outcome::general_protection);
        CHECK(emulate_wrmsr(registers) == Outcome::general_protection);
    }
}

TEST_CASE("MSRs: IA32_FEATURE_CONTROL is locked, a microcode update is swallowed")
{
    GuestRegisters registers{};
    registers.rcx = 0x3a;
    CHECK(emulate_wrmsr(registers) == Outcome::general_protection);
    registers.rcx = 0xabcdef0000000079; // ECX
    registers.rax = 0x123000;
    fake_core.followed_mtrrs = 0;
    CHECK(emulate_wrmsr(registers) == Outcome::advance);
    CHECK(fake_core.followed_mtrrs == 0);
}

} // namespace
} // namespace zpp::test
