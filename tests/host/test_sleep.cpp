// emulate/sleep: accesses of the port that puts the machine to sleep (ACPI 6.5, 4.8.3.2.1 and 5.2.10).
#include "core/log.hpp"
#include "core/machine.hpp"
#include "emulate/sleep.hpp"
#include "fake_core.hpp"
#include "fake_windows.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <string>
#include <vector>

namespace zpp::test {
namespace {

constexpr u16 pm1a_control = 0x604;
constexpr unsigned facs_page = 3, facs_offset = 0x40;
constexpr u32 vector = 12, x_vector = 24; // offsets in the FACS

struct Write {
    u16 port;
    unsigned size;
    u32 value;
    std::string log; // before it

    bool operator==(const Write&) const = default;
};
std::vector<Write> writes;

std::string text()
{
    std::string all(log::end(), ' ');
    log::read(0, all.data(), all.size());
    return all;
}

const PortInstructions ports{
    [](u16 port, unsigned size) { return size == 4 ? u32{port} << 16 | 4 : size; },
    [](u16 port, unsigned size, u32 value) { writes.push_back({port, size, value, text()}); }};

const std::string line = "zpp: the machine suspends to RAM; the system will wake up without zpp\n";

struct Sleeper {
    LogRecord record;
    FakeWindows windows;
    zpp_boot_info info = boot_info();
    GuestRegisters registers{};

    explicit Sleeper(u16 port = pm1a_control)
    {
        writes.clear();
        info.sleep = {
            .facs = facs_page * page_size + facs_offset, .pm1a_control = port, .reserved = {}};
        REQUIRE(machine.adopt(&info));
    }
    void set_vector(unsigned offset, u32 value)
    {
        std::memcpy(windows.page(facs_page) + facs_offset + offset, &value, sizeof value);
    }
    Outcome access(const PortAccess& access, u64 rax)
    {
        registers.rax = rax;
        return emulate_sleep_port(windows.vcpu(), access, registers, ports);
    }
    Outcome out(u16 port, u8 size, u64 rax)
    {
        return access({.port = port, .size = size, .in = false, .string = false}, rax);
    }
};

TEST_CASE("sleep: the port is the byte that contains SLP_EN")
{
    {
        const Sleeper sleeper;
        CHECK(sleep_port() == pm1a_control + 1);
    }
    const Sleeper without{0};
    CHECK(sleep_port() == 0);
}

TEST_CASE("sleep: the access is done for the guest")
{
    Sleeper sleeper;
    CHECK(sleeper.out(pm1a_control, 2, 0x1122'3344'5566'0001) == Outcome::advance);
    CHECK(sleeper.out(pm1a_control, 4, 0x1122'3344'5566'0001) == Outcome::advance);
    CHECK(sleeper.out(pm1a_control + 1, 1, 0x1122'3344'5566'0004) == Outcome::advance);
    CHECK(writes == std::vector<Write>{{pm1a_control, 2, 0x0001, ""},
                                       {pm1a_control, 4, 0x5566'0001, ""},
                                       {pm1a_control + 1, 1, 0x04, ""}});
    const PortAccess in{.port = pm1a_control, .size = 2, .in = true, .string = false};
    CHECK(sleeper.access(in, 0x1122'3344'5566'7788) == Outcome::advance);
    CHECK(sleeper.registers.rax == 0x1122'3344'5566'0002);
    CHECK(sleeper.access({.port = pm1a_control, .size = 4, .in = true, .string = false}, ~u64{0}) ==
          Outcome::advance);
    CHECK(sleeper.registers.rax == 0x0604'0004); // 32 bits clear the upper half
    CHECK(writes.size() == 3);
}

TEST_CASE("sleep: a suspend to RAM is logged before it happens")
{
    for (const u32 offset : {vector, x_vector, x_vector + 4}) {
        Sleeper sleeper;
        sleeper.set_vector(offset, 0x9a000);
        CHECK(sleeper.out(pm1a_control, 2, 0x0401) == Outcome::advance); // SLP_TYP alone
        CHECK(text().empty());
        CHECK(sleeper.out(pm1a_control, 2, 0x2401) == Outcome::advance);
        CHECK(writes.back() == Write{pm1a_control, 2, 0x2401, line});
    }
    struct {
        u16 port;
        u8 size;
        u32 value;
    } const others[] = {
        {pm1a_control, 4, 0x2401}, {pm1a_control + 1, 1, 0x24}, {pm1a_control - 2, 4, 0x2401'0000}};
    for (const auto& [port, size, value] : others) {
        Sleeper sleeper;
        sleeper.set_vector(vector, 0x9a000);
        CHECK(sleeper.out(port, size, value) == Outcome::advance);
        CHECK(writes.back() == Write{port, size, value, line});
    }
}

TEST_CASE("sleep: without a waking vector the machine turns off, and nothing is logged")
{
    Sleeper sleeper;
    CHECK(sleeper.out(pm1a_control, 2, 0x2001) == Outcome::advance);
    CHECK(writes.back() == Write{pm1a_control, 2, 0x2001, ""});
    // a FACS cannot be in the core's own memory
    sleeper.set_vector(vector, 0x9a000);
    FakeWindows::hide(facs_page);
    sleeper.windows.vcpu().window_targets[ZPP_CPU_WINDOWS - 1] = 0;
    CHECK(sleeper.out(pm1a_control, 2, 0x2001) == Outcome::advance);
    CHECK(writes.back() == Write{pm1a_control, 2, 0x2001, ""});
}

TEST_CASE("sleep: string instructions are refused")
{
    Sleeper sleeper;
    for (const bool in : {false, true})
        CHECK(sleeper.access({.port = pm1a_control + 1, .size = 1, .in = in, .string = true},
                             0x24) == Outcome::general_protection);
    CHECK(writes.empty());
}

} // namespace
} // namespace zpp::test
