// core/machine_check: machine checks that hit the host (SDM Vol. 3B, 16.3.1.2 and 16.3.2).
#include "core/log.hpp"
#include "core/machine_check.hpp"
#include "fake_core.hpp"
#include "fake_cpu.hpp"
#include "fake_registers.hpp"
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

constexpr u32 mcg_cap = 0x179, mcg_status = 0x17a, mc0_status = 0x401;
constexpr u64 ripv = 1, eipv = 2, mcip = 4, lmce = 8;

TEST_CASE("machine check: the guest takes it if the host can continue")
{
    struct {
        u64 status;
        bool launched, pending, expected;
    } const cases[] = {
        {ripv | mcip, true, false, true},   {ripv | eipv | mcip | lmce, true, false, true},
        {mcip, true, false, false},         {eipv | mcip, true, false, false},
        {ripv | mcip, false, false, false}, // there is no guest
        {ripv | mcip, true, true, false},   // a second one
    };
    for (const auto& c : cases) {
        CAPTURE(c.status);
        CpuBlock block;
        block.vcpu().launched = c.launched;
        block.vcpu().machine_check_pending = c.pending;
        CHECK(machine_check::is_for_guest(x86::McgStatus{c.status}, block.vcpu()) == c.expected);
        FakeRegisters cpu;
        cpu.msrs = {{mcg_status, c.status}};
        fake_core.exits_at_once = 0;
        CHECK(machine_check::note(block.vcpu()) == c.expected);
        CHECK(block.vcpu().machine_check_pending == (c.expected || c.pending));
        CHECK(fake_core.exits_at_once == (c.expected ? 1 : 0));
        CHECK(cpu.msrs.at(mcg_status) == c.status);
        CHECK(cpu.done.empty()); // nothing is written
    }
}

TEST_CASE("machine check: a crash report continues if it can")
{
    for (const u64 status : {mcip, ripv | mcip}) {
        CpuBlock block;
        block.vcpu().launched = true;
        block.vcpu().crashes = 1;
        FakeRegisters cpu;
        cpu.msrs = {{mcg_status, status}};
        CHECK(machine_check::note(block.vcpu()) == (status != mcip));
        CHECK_FALSE(block.vcpu().machine_check_pending);
    }
}

TEST_CASE("machine check: the log has the first bank with an error")
{
    const LogRecord record;
    const auto report = [](const Msrs& msrs) {
        CpuBlock block;
        block.vcpu().index = 3;
        FakeRegisters cpu;
        cpu.msrs = msrs;
        const u64 start = log::end();
        machine_check::report(block.vcpu());
        std::string text(log::end() - start, ' ');
        log::read(start, text.data(), text.size());
        return text;
    };
    const std::string head = "zpp: CPU 3: machine check in the host, MCG_STATUS 5\n";
    CHECK(report({{mcg_status, 5}, {mcg_cap, 0}}) == head);
    CHECK(report({{mcg_status, 5}, {mcg_cap, 0x102}, {mc0_status, 1}, {mc0_status + 4, 1}}) ==
          head);
    CHECK(report({{mcg_status, 5},
                  {mcg_cap, 3},
                  {mc0_status, 0x7000000000000000},
                  {mc0_status + 4, 0xbe00000000000135},
                  {mc0_status + 5, 0x1234000}}) ==
          head + "zpp:   bank 1 status be00000000000135 address 1234000\n");
}

TEST_CASE("machine check: a CPU is not given back with one pending")
{
    CpuBlock block;
    FakeRegisters cpu;
    cpu.msrs = {{mcg_status, 5}};
    machine_check::end_if_pending(block.vcpu());
    block.vcpu().machine_check_pending = true;
    CHECK_THROWS_AS(machine_check::end_if_pending(block.vcpu()), Crash);
}

} // namespace
} // namespace zpp::test
