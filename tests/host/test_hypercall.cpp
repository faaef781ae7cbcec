// emulate_hypercall: the calls of hypercall.h that need no other CPU's vCPU.
#include "core/log.hpp"
#include "core/machine.hpp"
#include "emulate/hypercall.hpp"
#include "fake_core.hpp"
#include "fake_cpu.hpp"
#include <cstring>
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

GuestRegisters call(u64 number, u64 rbx = 0, u64 rcx = 0)
{
    GuestRegisters registers{};
    registers.rax = ZPP_HYPERCALL(number);
    registers.rbx = rbx;
    registers.rcx = rcx;
    CHECK(is_hypercall(registers));
    CHECK(emulate_hypercall(registers) == Outcome::advance);
    return registers;
}

TEST_CASE("hypercall: the magic is RAX above bit 31, all of it")
{
    GuestRegisters registers{};
    CHECK_FALSE(is_hypercall(registers));
    registers.rax = 0x007a707000000000;
    CHECK(is_hypercall(registers));
    registers.rax |= 0xffffffff;
    CHECK(is_hypercall(registers));
    for (unsigned i = 32; i < 64; ++i) {
        GuestRegisters other{};
        other.rax = 0x007a707000000000 ^ bit(i);
        CHECK_FALSE(is_hypercall(other));
    }
}

TEST_CASE("hypercall: version, CPUs, memory")
{
    zpp_boot_info info = boot_info();
    info.cpu_count = 3;
    REQUIRE(machine.adopt(&info));
    const GuestRegisters version = call(ZPP_HYPERCALL_VERSION);
    CHECK(version.rax == ZPP_HYPERCALL_OK);
    CHECK(version.rbx == ZPP_HYPERCALL_INTERFACE);
    CHECK(version.rcx == ZPP_VERSION);
    CHECK(call(ZPP_HYPERCALL_CPU_COUNT).rbx == 3);
    CHECK(call(ZPP_HYPERCALL_MEMORY).rbx == info.total_pages);
}

TEST_CASE("hypercall: what is refused")
{
    zpp_boot_info info = boot_info();
    info.cpu_count = 3;
    REQUIRE(machine.adopt(&info));
    struct {
        const char* name;
        u64 number, rbx, rcx;
        u64 status;
    } const cases[] = {
        {"no such call", 9, 0, 0, ZPP_HYPERCALL_UNKNOWN},
        {"no such call, the highest", 0xffffffff, 0, 0, ZPP_HYPERCALL_UNKNOWN},
        {"devirtualize from elsewhere", ZPP_HYPERCALL_DEVIRTUALIZE, 0, 0, ZPP_HYPERCALL_REFUSED},
        {"exits of no CPU", ZPP_HYPERCALL_EXIT_COUNT, 3, 0, ZPP_HYPERCALL_BAD_ARGUMENT},
        {"exits of CPU 2^32", ZPP_HYPERCALL_EXIT_COUNT, bit(32), 0, ZPP_HYPERCALL_BAD_ARGUMENT},
        {"no such exit reason", ZPP_HYPERCALL_EXIT_COUNT, 0, Vcpu::exit_counters,
         ZPP_HYPERCALL_BAD_ARGUMENT},
        {"exit reason 2^32", ZPP_HYPERCALL_EXIT_COUNT, 0, bit(32), ZPP_HYPERCALL_BAD_ARGUMENT},
    };
    for (const auto& c : cases) {
        INFO(std::string(c.name));
        CHECK(call(c.number, c.rbx, c.rcx).rax == c.status);
    }
}

TEST_CASE("hypercall: the log, 32 bytes at a time")
{
    const LogRecord record;
    const u64 start = log::end();
    log::line("0123456789abcdefghijklmnopqrstuvwxyz");
    std::string text;
    for (u64 position = start; position < log::end(); position += 32) {
        const GuestRegisters registers = call(ZPP_HYPERCALL_READ_LOG, position);
        CHECK(registers.rax == ZPP_HYPERCALL_OK);
        for (const u64 part : {registers.rbx, registers.rcx, registers.rdx, registers.rsi})
            text.append(reinterpret_cast<const char*>(&part), 8);
    }
    CHECK(text == std::string("0123456789abcdefghijklmnopqrstuvwxyz\n") + std::string(27, '\0'));
}

TEST_CASE("hypercall: zeros past the end of the log")
{
    const LogRecord record;
    for (const u64 position : {log::end(), log::end() + 1, ~u64{0} - 7, ~u64{0}}) {
        const GuestRegisters registers = call(ZPP_HYPERCALL_READ_LOG, position);
        CHECK(registers.rax == ZPP_HYPERCALL_OK);
        CHECK((registers.rbx | registers.rcx | registers.rdx | registers.rsi) == 0);
    }
}

TEST_CASE("hypercall: a log position that was overwritten")
{
    const LogRecord record;
    while (log::begin() < 100)
        log::line("until the ring has gone round");
    const GuestRegisters gone = call(ZPP_HYPERCALL_READ_LOG, log::begin() - 1);
    CHECK(gone.rax == ZPP_HYPERCALL_GONE);
    CHECK(gone.rbx == log::begin());
    CHECK(call(ZPP_HYPERCALL_READ_LOG, log::begin()).rax == ZPP_HYPERCALL_OK);
}

TEST_CASE("hypercall: confirm logs this CPU")
{
    const LogRecord record;
    zpp_boot_info info = boot_info();
    REQUIRE(machine.adopt(&info));
    CpuBlock cpu;
    cpu.vcpu().index = 7;
    cpu.vcpu().apic_id = 14;
    const u64 start = log::end();
    GuestRegisters registers{};
    registers.rax = ZPP_HYPERCALL(ZPP_HYPERCALL_CONFIRM);
    cpu.run([&] { (void)emulate_hypercall(registers); });
    CHECK(registers.rax == ZPP_HYPERCALL_OK);
    CHECK(registers.rbx == 7);
    std::string line(log::end() - start, '?');
    log::read(start, line.data(), line.size());
    CHECK(line == "zpp: CPU 7 (APIC ID 14) virtualized with a test\n");
}

TEST_CASE("hypercall: the system is about to power off or restart")
{
    const LogRecord record;
    CHECK(LogRecord::memory.end == ZPP_LOG_RUNNING);
    CHECK(call(ZPP_HYPERCALL_END).rax == ZPP_HYPERCALL_OK);
    CHECK(LogRecord::memory.end == ZPP_LOG_CLEAN);
}

} // namespace
} // namespace zpp::test
