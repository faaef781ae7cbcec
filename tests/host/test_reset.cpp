// x86/delay and x86/reset: how long a crashed machine waits, and how it resets.
#include "fake_ports.hpp"
#include "x86/delay.hpp"
#include "x86/reset.hpp"
#include <doctest/doctest.h>

namespace zpp::test {
namespace {

constexpr u64 ms = 1'000'000; // ns

TEST_CASE("delay: by the timer, in slices that fit its counter")
{
    for (const u64 access_ns : {100, 1000, 2500})
        for (const u32 wanted : {1, 49, 50, 51, 1000, 10'000}) {
            CAPTURE(access_ns);
            CAPTURE(wanted);
            FakePorts machine;
            machine.access_ns = access_ns;
            x86::wait_milliseconds(wanted, machine.ports());
            CHECK(machine.now_ns >= (wanted - 1) * ms);
            CHECK(machine.now_ns <= (wanted + wanted / 100 + 1) * ms);
            CHECK(machine.post_code_reads == 0);
        }
}

TEST_CASE("delay: nothing to wait for")
{
    FakePorts machine;
    x86::wait_milliseconds(0, machine.ports());
    CHECK(machine.now_ns == 0);
}

TEST_CASE("delay: without the timer's clock")
{
    struct {
        const char* name;
        std::map<u32, x86::CpuidResult> leaves;
        u64 hz;
        bool by_tsc;
    } const cases[] = {
        {"leaf 15H", {{0, {0x16, 0, 0, 0}}, {0x15, {2, 168, 24'000'000, 0}}}, 2'016'000'000, true},
        {"leaf 15H without the crystal: leaf 16H",
         {{0, {0x16, 0, 0, 0}}, {0x15, {2, 168, 0, 0}}, {0x16, {2000, 0, 0, 0}}},
         2'000'000'000,
         true},
        {"neither", {{0, {0xd, 0, 0, 0}}}, 2'000'000'000, false},
        {"leaf 16H is empty", {{0, {0x16, 0, 0, 0}}}, 2'000'000'000, false},
    };
    for (const auto& c : cases) {
        INFO(c.name);
        FakePorts machine;
        machine.timer_works = false;
        machine.access_ns = 700;
        machine.leaves = c.leaves;
        machine.hz = c.hz;
        x86::wait_milliseconds(2000, machine.ports());
        const u64 search = 4'000'010 * machine.access_ns; // until the timer is given up, once
        CHECK(machine.now_ns >= search + (c.by_tsc ? 1999 * ms : 1399 * ms));
        CHECK(machine.now_ns <= search + (c.by_tsc ? 2002 * ms : 1401 * ms));
        CHECK((machine.post_code_reads == 0) == c.by_tsc);
    }
}

TEST_CASE("reset: the keyboard controller, then the chipset, warm and cold")
{
    using Written = std::vector<std::pair<u16, u8>>;
    const Written expected{{0x64, 0xfe}, {0xcf9, 2}, {0xcf9, 6}, {0xcf9, 0xa}, {0xcf9, 0xe}};
    for (const u8 status : {0, 0xff}) { // 0xff: no keyboard controller
        CAPTURE(status);
        FakePorts machine;
        machine.keyboard_status = status;
        x86::try_reset(machine.ports());
        CHECK(machine.written == expected);
        CHECK(machine.now_ns >= 149 * ms); // each has its time
        CHECK(machine.now_ns <= 400 * ms);
    }
}

} // namespace
} // namespace zpp::test
