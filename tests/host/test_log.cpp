// log: the ring over its whole way round, and the lines on a UART.
#include "core/log.hpp"
#include "fake_uart.hpp"
#include <csetjmp>
#include <csignal>
#include <doctest/doctest.h>
#include <string>

namespace zpp::test {
namespace {

std::string read(u64 position, std::size_t size)
{
    std::string text(size, '?');
    log::read(position, text.data(), size);
    return text;
}

// All that the ring still holds.
std::string all() { return read(log::begin(), log::end() - log::begin()); }

TEST_CASE("log: a line with its end")
{
    const u64 start = log::end();
    log::line("zpp: CPU {} (APIC ID {}) virtualized with {}", 0, 4, "Intel VT-x");
    const std::string line = "zpp: CPU 0 (APIC ID 4) virtualized with Intel VT-x\n";
    CHECK(log::end() == start + line.size());
    CHECK(read(start, line.size()) == line);
}

TEST_CASE("log: zeros past the end")
{
    log::line("abc");
    CHECK(read(log::end() - 4, 8) == std::string("abc\n\0\0\0\0", 8));
    for (const u64 position : {log::end(), log::end() + 1, ~u64{0} - 1, ~u64{0}})
        CHECK(read(position, 4) == std::string(4, '\0'));
}

TEST_CASE("log: a line without arguments keeps its braces")
{
    const u64 start = log::end();
    log::line("{}");
    CHECK(read(start, 3) == "{}\n");
}

TEST_CASE("log: wrap-around")
{
    // The whole text beside the ring; lines of a length that is no divisor of the ring's.
    std::string written = all();
    const u64 first = log::begin();
    const auto tail = [&] { return written.substr(log::begin() - first); };
    for (unsigned number = 0; log::end() < first + 3 * log::ring_size; ++number) {
        log::line("line {} of a log that goes round", number);
        written += "line " + std::to_string(number) + " of a log that goes round\n";
        REQUIRE(log::end() == first + written.size());
        REQUIRE(log::end() - log::begin() <= log::ring_size);
        if (log::end() > log::ring_size)
            REQUIRE(log::end() - log::begin() == log::ring_size);
        if (number % 37 == 0)
            REQUIRE(all() == tail());
    }
    CHECK(all() == tail());
    CHECK(read(log::begin(), 1)[0] == written[log::begin() - first]);
}

TEST_CASE("log: a line as long as the ring")
{
    const std::string text(log::ring_size, 'x');
    log::line("{}", text.c_str());
    CHECK(all() == std::string(log::ring_size - 1, 'x') + "\n");
}

TEST_CASE("log: each character to the UART, lines ended with CR LF")
{
    FakeUart uart(0x3f8);
    log::set_serial_port(0x3f8);
    log::line("to COM{}", 1);
    log::set_serial_port(0);
    log::line("not to it");
    CHECK(uart.sent() == "to COM1\r\n");
    CHECK(uart.wrong_ports() == 0);
    CHECK(uart.sent_too_early() == 0);
}

TEST_CASE("log: waits until the UART is ready")
{
    FakeUart uart(0x3f8);
    uart.set_reads_until_ready(50);
    log::set_serial_port(0x3f8);
    log::line("slow");
    log::set_serial_port(0);
    CHECK(uart.sent() == "slow\r\n");
    CHECK(uart.sent_too_early() == 0);
}

TEST_CASE("log: after a crash a line does not wait for a CPU that is stopped")
{
    // It stops in the middle of its line, at the UART, and keeps the lock.
    static sigjmp_buf out_of_the_line;
    struct sigaction action{}, previous;
    action.sa_handler = [](int) { siglongjmp(out_of_the_line, 1); };
    sigaction(SIGSEGV, &action, &previous);
    log::set_serial_port(0x3f8);
    if (sigsetjmp(out_of_the_line, 1) == 0)
        log::line("never ends");
    sigaction(SIGSEGV, &previous, nullptr);
    log::set_serial_port(0);
    log::break_lock();
    log::line("first");
    log::line("second");
    CHECK(all().ends_with("first\nsecond\n"));
}

TEST_CASE("log: a UART that never gets ready does not hang the host")
{
    FakeUart uart(0x2f8);
    uart.set_reads_until_ready(~0u);
    log::set_serial_port(0x2f8);
    log::line("");
    log::set_serial_port(0);
    CHECK(uart.sent() == "\r\n");
}

} // namespace
} // namespace zpp::test
