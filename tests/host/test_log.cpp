// log: the ring over its whole way round, its record, and the lines on a UART.
#include "core/log.hpp"
#include "fake_core.hpp"
#include "fake_uart.hpp"
#include <csetjmp>
#include <csignal>
#include <cstring>
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
    const LogRecord record;
    const u64 start = log::end();
    log::line("zpp: CPU {} (APIC ID {}) virtualized with {}", 0, 4, "Intel VT-x");
    const std::string line = "zpp: CPU 0 (APIC ID 4) virtualized with Intel VT-x\n";
    CHECK(log::end() == start + line.size());
    CHECK(read(start, line.size()) == line);
}

TEST_CASE("log: zeros past the end")
{
    const LogRecord record;
    log::line("abc");
    CHECK(read(log::end() - 4, 8) == std::string("abc\n\0\0\0\0", 8));
    for (const u64 position : {log::end(), log::end() + 1, ~u64{0} - 1, ~u64{0}})
        CHECK(read(position, 4) == std::string(4, '\0'));
}

TEST_CASE("log: a line without arguments keeps its braces")
{
    const LogRecord record;
    const u64 start = log::end();
    log::line("{}");
    CHECK(read(start, 3) == "{}\n");
}

TEST_CASE("log: wrap-around")
{
    const LogRecord record;
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
    const LogRecord record;
    const std::string text(log::ring_size, 'x');
    log::line("{}", text.c_str());
    CHECK(all() == std::string(log::ring_size - 1, 'x') + "\n");
}

TEST_CASE("log: each character to the UART, lines ended with CR LF")
{
    const LogRecord record;
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
    const LogRecord record;
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
    const LogRecord record;
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
    const LogRecord record;
    FakeUart uart(0x2f8);
    uart.set_reads_until_ready(~0u);
    log::set_serial_port(0x2f8);
    log::line("");
    log::set_serial_port(0);
    CHECK(uart.sent() == "\r\n");
}

TEST_CASE("log: the record is valid from the start and with each line")
{
    const LogRecord record;
    const zpp_log_record& memory = LogRecord::memory;
    CHECK(zpp_log_is_record(&memory, LogRecord::physical));
    CHECK(zpp_log_text_is_whole(&memory));
    CHECK(memory.end == ZPP_LOG_RUNNING);
    CHECK(memory.cpu_count == 3);
    CHECK(memory.build_id[1] == 0xe2);
    for (unsigned number = 0; log::end() < 3 * log::ring_size; ++number) {
        log::line("zpp: line {}", number);
        REQUIRE(zpp_log_text_is_whole(&memory));
    }
    CHECK(zpp_log_is_record(&memory, LogRecord::physical));
    CHECK_FALSE(zpp_log_is_record(&memory, LogRecord::physical + page_size)); // a copy elsewhere
}

TEST_CASE("log: memory that is not a record")
{
    const auto damaged = [](std::size_t at, u8 with) {
        const LogRecord record;
        log::line("zpp: a line");
        reinterpret_cast<u8*>(&LogRecord::memory)[at] ^= with;
        return zpp_log_is_record(&LogRecord::memory, LogRecord::physical) != 0;
    };
    for (std::size_t at = 0; at <= offsetof(zpp_log_record, head_check) + 3; ++at)
        for (unsigned position = 0; position < 8; ++position)
            CHECK_FALSE(damaged(at, static_cast<u8>(bit(position))));
    CHECK_FALSE(damaged(offsetof(zpp_log_record, end), 4));
    CHECK(damaged(offsetof(zpp_log_record, text) + 5, 1)); // but its text is not whole
    CHECK_FALSE(zpp_log_text_is_whole(&LogRecord::memory));
    for (const int filler : {0, 0xff, 0xa5}) {
        std::memset(&LogRecord::memory, filler, sizeof LogRecord::memory);
        CHECK_FALSE(zpp_log_is_record(&LogRecord::memory, LogRecord::physical));
    }
}

TEST_CASE("log: the end, and the reason of the first crash")
{
    const LogRecord record;
    zpp_log_record& memory = LogRecord::memory;
    log::note_end(ZPP_LOG_CLEAN, "");
    CHECK(memory.end == ZPP_LOG_CLEAN);
    log::note_end(ZPP_LOG_CRASH, "CPU {}: exception {} at image + {x}", 2, 14, 0x4ea4);
    log::note_end(ZPP_LOG_CRASH, "another");
    log::note_end(ZPP_LOG_CLEAN, "");
    CHECK(memory.end == ZPP_LOG_CRASH);
    CHECK(std::string(memory.reason) == "CPU 2: exception 14 at image + 4ea4");
    CHECK(zpp_log_is_record(&memory, LogRecord::physical));

    const LogRecord again;
    const std::string name(500, 'x');
    log::note_end(ZPP_LOG_TRIPLE_FAULT, "{}", name.c_str());
    CHECK(std::string(memory.reason) == std::string(ZPP_LOG_REASON_SIZE - 1, 'x'));
    CHECK(memory.reserved[0] == 0);
}

} // namespace
} // namespace zpp::test
